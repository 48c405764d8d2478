/**
 * @file A forward cursor over a `ByteSource` for parsing headers. It fetches windows that grow while parsing goes on, so
 * a small header costs one small read and a large one few reads, and the tensor data behind it is never touched.
 *
 * Parsers ask `has(n)` first and `await load(n)` only where the window ends: the common path stays synchronous.
 */
import { BitsmithError, type ErrorKind } from '../errors.js';
import type { ByteSource } from './byte-source.js';

const FIRST_WINDOW_BYTES = 64 * 1024;
const MAX_WINDOW_BYTES = 4 * 1024 * 1024;

export interface WindowedReaderOptions {
  /** How a source that ends too early is reported. */
  readonly truncated: { readonly kind: ErrorKind; readonly code: string; readonly format: string };
  /** A position that nothing may be read beyond, however long the source is. */
  readonly limit?: { readonly position: number; readonly error: () => Error };
  readonly signal?: AbortSignal;
}

export class WindowedReader {
  private readonly source: ByteSource;
  private readonly options: WindowedReaderOptions;
  private window = new Uint8Array(0);
  private view = new DataView(this.window.buffer);
  /** Source offset of the window's first byte. */
  private windowStart = 0;
  private cursor = 0;
  private nextWindowBytes = FIRST_WINDOW_BYTES;

  constructor(source: ByteSource, options: WindowedReaderOptions) {
    this.source = source;
    this.options = options;
  }

  /** Absolute offset of the next byte. */
  get position(): number {
    return this.windowStart + this.cursor;
  }

  /** Bytes of the source from here to its end. */
  get remaining(): number {
    return this.source.byteLength - this.position;
  }

  /** Whether the next `count` bytes can be taken without `load`. */
  has(count: number): boolean {
    return this.cursor + count <= this.window.byteLength;
  }

  /**
   * Makes the next `count` bytes available. Views that `take` returned before stay valid.
   * @param what is named in the error when the source ends before `count` bytes.
   */
  async load(count: number, what: string): Promise<void> {
    if (this.has(count)) return;
    this.requireAvailable(count, what);
    const kept = this.window.subarray(this.cursor);
    const windowBytes = Math.min(this.remaining, Math.max(count, this.nextWindowBytes));
    const grown = new Uint8Array(windowBytes);
    grown.set(kept);
    const start = this.position;
    await this.source.readInto(grown.subarray(kept.byteLength), start + kept.byteLength, this.options.signal);
    this.window = grown;
    this.view = new DataView(grown.buffer);
    this.windowStart = start;
    this.cursor = 0;
    this.nextWindowBytes = Math.min(MAX_WINDOW_BYTES, this.nextWindowBytes * 2);
  }

  /** Copies the next `target.byteLength` bytes, straight from the source where the window does not hold them. */
  async readInto(target: Uint8Array, what: string): Promise<void> {
    this.requireAvailable(target.byteLength, what);
    const buffered = this.window.subarray(
      this.cursor,
      Math.min(this.window.byteLength, this.cursor + target.byteLength),
    );
    target.set(buffered);
    const rest = target.subarray(buffered.byteLength);
    if (rest.byteLength === 0) {
      this.cursor += target.byteLength;
      return;
    }
    const start = this.position;
    await this.source.readInto(rest, start + buffered.byteLength, this.options.signal);
    this.window = new Uint8Array(0);
    this.view = new DataView(this.window.buffer);
    this.windowStart = start + target.byteLength;
    this.cursor = 0;
  }

  /** The next `count` loaded bytes, as a view. */
  take(count: number): Uint8Array {
    const bytes = this.window.subarray(this.cursor, this.cursor + count);
    this.cursor += count;
    return bytes;
  }

  uint8(): number {
    return this.window[this.cursor++];
  }

  int8(): number {
    return this.view.getInt8(this.advance(1));
  }

  uint16(): number {
    return this.view.getUint16(this.advance(2), true);
  }

  int16(): number {
    return this.view.getInt16(this.advance(2), true);
  }

  uint32(): number {
    return this.view.getUint32(this.advance(4), true);
  }

  int32(): number {
    return this.view.getInt32(this.advance(4), true);
  }

  float32(): number {
    return this.view.getFloat32(this.advance(4), true);
  }

  float64(): number {
    return this.view.getFloat64(this.advance(8), true);
  }

  bigUint64(): bigint {
    return this.view.getBigUint64(this.advance(8), true);
  }

  bigInt64(): bigint {
    return this.view.getBigInt64(this.advance(8), true);
  }

  /** A uint64 count or offset. Above 2^53 the result is rounded, but still larger than any source. */
  count64(): number {
    const at = this.advance(8);
    return this.view.getUint32(at, true) + this.view.getUint32(at + 4, true) * 2 ** 32;
  }

  private advance(count: number): number {
    const at = this.cursor;
    this.cursor += count;
    return at;
  }

  private requireAvailable(count: number, what: string): void {
    const { limit } = this.options;
    if (limit !== undefined && this.position + count > limit.position) throw limit.error();
    if (count <= this.remaining) return;
    const { kind, code, format } = this.options.truncated;
    const message = `${format}: expected ${count} bytes for ${what} at offset ${this.position}, but only ${this.remaining} bytes are left`;
    throw new BitsmithError(kind, code, message, {
      expected: `${count} bytes for ${what}`,
      found: `${this.remaining} bytes`,
      suggestion: 'The file is incomplete or damaged: fetch or export it again.',
    });
  }
}
