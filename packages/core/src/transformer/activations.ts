/**
 * @file The stream before every block, for every sequence of a group: what a block is rebuilt from for its backward pass. In
 * memory where there is room, else in a file that is removed at the end.
 */
import { type FileHandle, open, rm } from 'node:fs/promises';
import { fileError } from '../io/file-errors.js';

/** Streams that are kept in memory where all sequences go through together. */
export const KEPT_STREAMS_BYTES = 256 * 2 ** 20;

/** Of so many positions in all. */
export function streamBytes(width: number, blocks: number, positions: number): number {
  return 4 * width * blocks * positions;
}

export class Activations {
  private readonly elements: number;
  private readonly memory: Map<string, Float32Array>;
  private readonly file: FileHandle | null;
  private readonly path: string | null;
  private readonly sequences: number;

  private constructor(
    sequences: number,
    elements: number,
    memory: Map<string, Float32Array>,
    file: FileHandle | null,
    path: string | null,
  ) {
    this.memory = memory;
    this.sequences = sequences;
    this.elements = elements;
    this.file = file;
    this.path = path;
  }

  /**
   * @param path where the values go; null keeps them in memory
   * @param memory arrays of an earlier group, which are filled anew
   */
  static async create(
    sequences: number,
    elements: number,
    path: string | null,
    memory = new Map<string, Float32Array>(),
  ): Promise<Activations> {
    if (path === null) return new Activations(sequences, elements, memory, null, null);
    try {
      return new Activations(sequences, elements, memory, await open(path, 'w+'), path);
    } catch (error) {
      throw fileError(error, path, 'write');
    }
  }

  async write(block: number, sequence: number, values: Float32Array): Promise<void> {
    if (this.file === null) {
      const place = this.memory.get(`${block}:${sequence}`);
      if (place === undefined) this.memory.set(`${block}:${sequence}`, values.slice());
      else place.set(values);
      return;
    }
    try {
      await transfer(bytesOf(values), this.offset(block, sequence), async (rest, at) => {
        const { bytesWritten } = await (this.file as FileHandle).write(rest, 0, rest.length, at);
        return bytesWritten;
      });
    } catch (error) {
      throw fileError(error, this.path as string, 'write');
    }
  }

  async read(block: number, sequence: number, into: Float32Array): Promise<void> {
    if (this.file === null) {
      into.set(this.memory.get(`${block}:${sequence}`) as Float32Array);
      return;
    }
    try {
      await transfer(bytesOf(into), this.offset(block, sequence), async (rest, at) => {
        const { bytesRead } = await (this.file as FileHandle).read(rest, 0, rest.length, at);
        if (bytesRead === 0) throw new Error('the file ends before the activations do');
        return bytesRead;
      });
    } catch (error) {
      throw fileError(error, this.path as string, 'read');
    }
  }

  async close(): Promise<void> {
    if (this.file === null) return;
    await this.file.close();
    await rm(this.path as string, { force: true });
  }

  private offset(block: number, sequence: number): number {
    return (block * this.sequences + sequence) * this.elements * 4;
  }
}

/** Moves all of the bytes: a full disk, or a long array, moves some of them first. */
async function transfer(
  bytes: Uint8Array,
  offset: number,
  move: (rest: Uint8Array, offset: number) => Promise<number>,
): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await move(bytes.subarray(done), offset + done);
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
