/** @file Where codecs write to: bytes in order, to wherever the caller keeps them. */

/** Sequential output. `write` resolves when the bytes may be reused by the caller. */
export interface ByteSink {
  readonly bytesWritten: number;
  write(bytes: Uint8Array, signal?: AbortSignal): Promise<void>;
}

/** A `ByteSink` that keeps everything in memory. */
export class MemorySink implements ByteSink {
  private readonly chunks: Uint8Array[] = [];
  private length = 0;

  get bytesWritten(): number {
    return this.length;
  }

  async write(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.chunks.push(bytes.slice());
    this.length += bytes.byteLength;
  }

  /** Everything written so far, in one array. */
  toBytes(): Uint8Array {
    const all = new Uint8Array(this.length);
    let offset = 0;
    for (const chunk of this.chunks) {
      all.set(chunk, offset);
      offset += chunk.byteLength;
    }
    return all;
  }
}
