/** @file Files of the benches: a sink to write them, and the folder they live in. */
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { assertInside, type ByteSink, type ByteSource } from '@bitsmith/formats';

/** The repository. Compiled files stand in `bench/dist/lib`. */
export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');

/** Where benches keep what they generate; git ignores it. */
export async function benchFolder(...names: string[]): Promise<string> {
  const folder = path.join(root, '.cache', 'bench', ...names);
  await mkdir(folder, { recursive: true });
  return folder;
}

/** A file written from start to end. */
export class FileOutput implements ByteSink {
  private readonly handle: FileHandle;
  private length = 0;

  private constructor(handle: FileHandle) {
    this.handle = handle;
  }

  static async create(file: string): Promise<FileOutput> {
    return new FileOutput(await open(file, 'w'));
  }

  get bytesWritten(): number {
    return this.length;
  }

  async write(bytes: Uint8Array): Promise<void> {
    let done = 0;
    while (done < bytes.byteLength) {
      done += (await this.handle.write(bytes, done)).bytesWritten;
    }
    this.length += bytes.byteLength;
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}

/** A file read at any place. */
export class FileInput implements ByteSource {
  readonly byteLength: number;
  private readonly handle: FileHandle;

  private constructor(handle: FileHandle, byteLength: number) {
    this.handle = handle;
    this.byteLength = byteLength;
  }

  static async open(file: string): Promise<FileInput> {
    const handle = await open(file, 'r');
    return new FileInput(handle, (await handle.stat()).size);
  }

  async readInto(target: Uint8Array, offset: number): Promise<void> {
    assertInside(this, offset, target.byteLength);
    let done = 0;
    while (done < target.byteLength) {
      const { bytesRead } = await this.handle.read(target, done, target.byteLength - done, offset + done);
      if (bytesRead === 0) throw new Error('the file became shorter while it was read');
      done += bytesRead;
    }
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}
