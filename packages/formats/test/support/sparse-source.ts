import { assertInside, type ByteSource } from '../../src/index.js';

/** A source of any length that is zero except for a few pieces: files over 4 GiB without the gigabytes. */
export class SparseSource implements ByteSource {
  readonly byteLength: number;
  bytesRead = 0;
  private readonly pieces: readonly { offset: number; bytes: Uint8Array }[];

  constructor(byteLength: number, pieces: readonly { offset: number; bytes: Uint8Array }[]) {
    this.byteLength = byteLength;
    this.pieces = pieces;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    assertInside(this, offset, target.byteLength);
    this.bytesRead += target.byteLength;
    target.fill(0);
    const end = offset + target.byteLength;
    for (const piece of this.pieces) {
      const from = Math.max(offset, piece.offset);
      const to = Math.min(end, piece.offset + piece.bytes.byteLength);
      if (from < to) target.set(piece.bytes.subarray(from - piece.offset, to - piece.offset), from - offset);
    }
  }
}
