/**
 * @file Where codecs read from. A codec never opens files: it takes a `ByteSource`, so the same code reads a file, a
 * buffer or a remote range.
 */
import { BitsmithError } from '../errors.js';

/** Random-access bytes. Offsets and lengths are bytes and may pass 2^32 (never 2^53). */
export interface ByteSource {
  readonly byteLength: number;
  /**
   * Fills all of `target` from `offset`.
   * @throws BitsmithError `SOURCE_TRUNCATED` when the range does not lie inside the source.
   */
  readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void>;
}

/** Reads `length` bytes at `offset` into a fresh array. */
export async function readBytes(
  source: ByteSource,
  offset: number,
  length: number,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  assertInside(source, offset, length);
  const bytes = new Uint8Array(length);
  await source.readInto(bytes, offset, signal);
  return bytes;
}

/** Refuses a range that does not lie inside the source, before anything is allocated for it. */
export function assertInside(source: ByteSource, offset: number, length: number): void {
  if (
    !Number.isSafeInteger(offset) ||
    !Number.isSafeInteger(length) ||
    offset < 0 ||
    length < 0 ||
    offset + length > source.byteLength
  ) {
    throw new BitsmithError(
      'validation',
      'SOURCE_TRUNCATED',
      `expected ${length} bytes at offset ${offset}, but the source has ${source.byteLength} bytes`,
      { suggestion: 'The file is incomplete or damaged: fetch or export it again.' },
    );
  }
}

/** A `ByteSource` over bytes in memory. */
export class MemorySource implements ByteSource {
  private readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get byteLength(): number {
    return this.bytes.byteLength;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    assertInside(this, offset, target.byteLength);
    target.set(this.bytes.subarray(offset, offset + target.byteLength));
  }
}
