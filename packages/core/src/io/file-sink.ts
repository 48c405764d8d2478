/** @file A file as a `ByteSink`, and output that appears only complete: written under a temporary name, then renamed. */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { ByteSink } from '@bitsmith/formats';
import { fileError } from './file-errors.js';

export class FileSink implements ByteSink {
  /** The path that errors name. */
  readonly path: string;
  private readonly handle: FileHandle;
  private length = 0;

  private constructor(filePath: string, handle: FileHandle) {
    this.path = filePath;
    this.handle = handle;
  }

  /** @param shownAs the path that errors name: a temporary name tells a reader nothing */
  static async create(filePath: string, shownAs: string = filePath): Promise<FileSink> {
    try {
      return new FileSink(shownAs, await open(filePath, 'w'));
    } catch (error) {
      throw fileError(error, shownAs, 'write');
    }
  }

  get bytesWritten(): number {
    return this.length;
  }

  async write(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await writeAt(this.handle, this.path, bytes, this.length);
    this.length += bytes.byteLength;
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}

/** Writes a file from its beginning, under the name given: for names that are temporary already. */
export async function writeFresh(filePath: string, write: (sink: ByteSink) => Promise<void>): Promise<void> {
  const sink = await FileSink.create(filePath);
  try {
    await write(sink);
  } finally {
    await sink.close();
  }
}

/** Writes all of `bytes` at `position`, however many calls that takes. */
export async function writeAt(
  handle: FileHandle,
  filePath: string,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  try {
    let done = 0;
    while (done < bytes.byteLength) {
      const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done, position + done);
      done += bytesWritten;
    }
  } catch (error) {
    throw fileError(error, filePath, 'write');
  }
}

/** Runs `fill` on a temporary file beside `finalPath` and renames it there; on any failure nothing is left behind. */
export async function writeAtomically(
  finalPath: string,
  fill: (sink: FileSink) => Promise<void>,
): Promise<void> {
  const folder = path.dirname(finalPath);
  const temporary = path.join(folder, `.${path.basename(finalPath)}.${randomUUID().slice(0, 8)}.tmp`);
  let sink: FileSink | undefined;
  try {
    sink = await FileSink.create(temporary, finalPath);
    await fill(sink);
    await sink.close();
    sink = undefined;
    await rename(temporary, finalPath);
  } catch (error) {
    await sink?.close().catch(() => undefined);
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fileError(error, finalPath, 'write');
  }
}

/** Moves a finished file to its final name: by rename, or by copy and rename where the disks differ. */
export async function moveIntoPlace(from: string, finalPath: string): Promise<void> {
  try {
    await rename(from, finalPath);
    return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw fileError(error, finalPath, 'write');
  }
  await copyIntoPlace(from, finalPath);
  await rm(from, { force: true });
}

/** Copies a finished file to its final name, where it appears only complete. */
export async function copyIntoPlace(from: string, finalPath: string): Promise<void> {
  const temporary = path.join(
    path.dirname(finalPath),
    `.${path.basename(finalPath)}.${randomUUID().slice(0, 8)}.tmp`,
  );
  try {
    await copyFile(from, temporary, constants.COPYFILE_FICLONE);
    await rename(temporary, finalPath);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fileError(error, finalPath, 'write');
  }
}

/** Creates a folder with its parents, with a coded error when the disk refuses. */
export async function ensureFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    throw fileError(error, folder, 'write');
  }
}
