import type { ByteSink } from './byte-sink.js';

/**
 * Passes an exact number of bytes on to another sink. The first byte too many is refused before it can shift what follows,
 * and `finish` refuses too few.
 */
export class BoundedSink implements ByteSink {
  private readonly target: ByteSink;
  private readonly byteLength: number;
  private readonly fail: (found: number) => Error;
  private written = 0;

  constructor(target: ByteSink, byteLength: number, fail: (found: number) => Error) {
    this.target = target;
    this.byteLength = byteLength;
    this.fail = fail;
  }

  get bytesWritten(): number {
    return this.written;
  }

  async write(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    const total = this.written + bytes.byteLength;
    if (total > this.byteLength) throw this.fail(total);
    this.written = total;
    await this.target.write(bytes, signal);
  }

  finish(): void {
    if (this.written !== this.byteLength) throw this.fail(this.written);
  }
}
