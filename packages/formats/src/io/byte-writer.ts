/** @file A growing little-endian buffer, for headers that are built in memory. */
import { encodeUtf8Into } from '../text/utf8.js';

export class ByteWriter {
  private bytes = new Uint8Array(64 * 1024);
  private view = new DataView(this.bytes.buffer);
  private length = 0;

  get byteLength(): number {
    return this.length;
  }

  uint8(value: number): void {
    this.bytes[this.reserve(1)] = value;
  }

  uint16(value: number): void {
    this.view.setUint16(this.reserve(2), value, true);
  }

  uint32(value: number): void {
    this.view.setUint32(this.reserve(4), value, true);
  }

  float32(value: number): void {
    this.view.setFloat32(this.reserve(4), value, true);
  }

  float64(value: number): void {
    this.view.setFloat64(this.reserve(8), value, true);
  }

  bigUint64(value: bigint): void {
    this.view.setBigUint64(this.reserve(8), value, true);
  }

  /** A count or offset below 2^53 as uint64. */
  count64(value: number): void {
    this.putCount64(this.reserve(8), value);
  }

  raw(bytes: Uint8Array): void {
    const at = this.reserve(bytes.byteLength);
    this.bytes.set(bytes, at);
  }

  /** A uint64 byte length, then the bytes. `what` is named when the text has no UTF-8 form. */
  lengthPrefixed(text: string | Uint8Array, what: string): void {
    if (typeof text !== 'string') {
      this.count64(text.byteLength);
      this.raw(text);
      return;
    }
    // Room for the longest form; what is left over goes to whatever comes next.
    const at = this.reserve(8 + text.length * 3);
    const written = encodeUtf8Into(text, this.bytes.subarray(at + 8), what);
    this.putCount64(at, written);
    this.length = at + 8 + written;
  }

  /** Zeros up to a multiple of `alignment`. */
  pad(alignment: number): void {
    const over = this.length % alignment;
    if (over > 0) this.bytes.fill(0, this.reserve(alignment - over), this.length);
  }

  toBytes(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }

  private putCount64(at: number, value: number): void {
    this.view.setUint32(at, value % 2 ** 32, true);
    this.view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  }

  private reserve(count: number): number {
    const at = this.length;
    this.length += count;
    if (this.length > this.bytes.byteLength) {
      const grown = new Uint8Array(Math.max(this.length, this.bytes.byteLength * 2));
      grown.set(this.bytes.subarray(0, at));
      this.bytes = grown;
      this.view = new DataView(grown.buffer);
    }
    return at;
  }
}
