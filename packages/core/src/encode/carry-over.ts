/**
 * @file From one unfinished output to another that differs in few tensors: what both have in the same type is copied, and counts as
 * complete there, so that only the others are encoded.
 */
import { appendFile, open } from 'node:fs/promises';
import { type GgufLayout, tensorByteLength } from '@bitsmith/formats';
import { fileError } from '../io/file-errors.js';
import { writeAt } from '../io/file-sink.js';
import type { UnfinishedOutput } from './unfinished-output.js';

/** An output with the places of its tensors. */
export interface PlacedOutput {
  readonly unfinished: UnfinishedOutput;
  readonly layout: GgufLayout;
}

/** Bytes copied at once. */
const CHUNK_BYTES = 1 << 22;

interface CopiedRange {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  readonly byteLength: number;
}

/** Copies all tensors of one type in both that `to` lacks. */
export async function carryOver(from: PlacedOutput, to: PlacedOutput, signal?: AbortSignal): Promise<void> {
  const ranges = await commonRanges(from, to);
  const source = await open(from.unfinished.path, 'r');
  const target = await open(to.unfinished.path, 'r+');
  try {
    for (const range of ranges) {
      for (let done = 0; done < range.byteLength; done += CHUNK_BYTES) {
        signal?.throwIfAborted();
        const bytes = new Uint8Array(Math.min(CHUNK_BYTES, range.byteLength - done));
        await source.read(bytes, 0, bytes.byteLength, range.from + done);
        await writeAt(target, to.unfinished.path, bytes, range.to + done);
      }
      await appendFile(to.unfinished.journalPath, `${JSON.stringify(range.name)}\n`);
    }
  } catch (error) {
    throw fileError(error, to.unfinished.path, 'write');
  } finally {
    await source.close();
    await target.close();
  }
}

async function commonRanges(from: PlacedOutput, to: PlacedOutput): Promise<CopiedRange[]> {
  const made = await from.unfinished.complete();
  const there = await to.unfinished.complete();
  const before = new Map(from.layout.tensors.map((tensor) => [tensor.name, tensor]));
  return to.layout.tensors.flatMap(({ name, type, shape, offset }): CopiedRange[] => {
    const earlier = before.get(name);
    if (earlier === undefined || earlier.type !== type || !made.has(name) || there.has(name)) return [];
    return [{ name, from: earlier.offset, to: offset, byteLength: tensorByteLength(type, shape) }];
  });
}
