/** @file A file as a `ByteSource`: one handle, positional reads, so that many readers can share it. */
import { type FileHandle, open } from 'node:fs/promises';
import { assertInside, BitsmithError, type ByteSource } from '@bitsmith/formats';
import { fileError } from './file-errors.js';

export class FileSource implements ByteSource {
  readonly path: string;
  readonly byteLength: number;
  private readonly handle: FileHandle;

  private constructor(path: string, handle: FileHandle, byteLength: number) {
    this.path = path;
    this.handle = handle;
    this.byteLength = byteLength;
  }

  /** @throws BitsmithError `FILE_NOT_FOUND`, `FILE_UNREADABLE` */
  static async open(path: string, signal?: AbortSignal): Promise<FileSource> {
    signal?.throwIfAborted();
    try {
      const handle = await open(path, 'r');
      const status = await handle.stat();
      if (!status.isFile()) {
        await handle.close();
        throw new BitsmithError(
          'model-not-found',
          'FILE_NOT_FOUND',
          `expected a file, found a folder: ${path}`,
        );
      }
      return new FileSource(path, handle, status.size);
    } catch (error) {
      throw fileError(error, path, 'read');
    }
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    assertInside(this, offset, target.byteLength);
    let done = 0;
    while (done < target.byteLength) {
      const { bytesRead } = await this.handle.read(target, done, target.byteLength - done, offset + done);
      if (bytesRead === 0) {
        throw new BitsmithError(
          'validation',
          'SOURCE_TRUNCATED',
          `expected ${this.byteLength} bytes in ${this.path}, but the file became shorter while it was read`,
          { suggestion: 'Do not change the file during the run, then run again.' },
        );
      }
      done += bytesRead;
    }
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}
