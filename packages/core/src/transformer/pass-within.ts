/** @file A pass over a model within a limit of memory that is settled before it is taken: the roomiest way that fits. */
import { BitsmithError } from '@bitsmith/formats';

export interface RoomyPass<Pass> {
  /** Weights, lanes and all else that does not grow with the sequences. */
  readonly byteLength: number;
  /** Of one sequence, the streams before every block excepted. */
  readonly sequenceBytes: number;
  /** The same pass, with the streams before every block in a file. */
  withScratch(path: string): Pass;
  dispose(): void;
}

export interface PassRoom {
  readonly threads: number;
  /** Bytes that the pass may take; null: no limit. */
  readonly memoryBytes: number | null;
  /** Sequences that go through together. */
  readonly sequences: number;
  /** Streams before every block, of all of these sequences. */
  readonly streamBytes: number;
  /** Where they go that memory has no room for. */
  readonly scratchPath: string;
  /** Of the streams, what is kept in memory at most; default: all that fits. */
  readonly keptBytes?: number;
  /** What else there is to do where nothing fits, after `Use --work-memory N or more, a shorter --chunk, or `. */
  readonly otherwise: string;
}

/** How a pass was opened. */
export interface PassMemory {
  readonly predictedBytes: number;
  readonly onDisk: boolean;
  readonly lanes: number;
}

/** What graphs' own structs and small objects of JavaScript take besides. */
const OVERHEAD_BYTES = 8 * 2 ** 20;

/**
 * All lanes and streams in memory, then on disk, then with one lane.
 * @throws BitsmithError `MEMORY_LIMIT`
 */
export async function openWithin<Pass extends RoomyPass<Pass>>(
  open: (lanes: number) => Promise<Pass>,
  room: PassRoom,
  report: (memory: PassMemory) => void,
): Promise<Pass> {
  const { memoryBytes, sequences, streamBytes, scratchPath, keptBytes = Infinity } = room;
  let needed = 0;
  for (const lanes of new Set([room.threads, 1])) {
    const pass = await open(lanes);
    const fixed = OVERHEAD_BYTES + pass.byteLength + sequences * pass.sequenceBytes;
    for (const onDisk of [false, true]) {
      needed = fixed + (onDisk ? 0 : streamBytes);
      if (!onDisk && streamBytes > keptBytes) continue;
      if (memoryBytes !== null && needed > memoryBytes) continue;
      report({ predictedBytes: needed, onDisk, lanes });
      return onDisk ? pass.withScratch(scratchPath) : pass;
    }
    pass.dispose();
  }
  throw new BitsmithError(
    'resources',
    'MEMORY_LIMIT',
    `expected room for one block of the model and its work, ${megabytes(needed)}, found a limit of ${megabytes(memoryBytes ?? 0)}`,
    {
      suggestion: `Use --work-memory ${Math.ceil(needed / 1e6)}MB or more, a shorter --chunk, or ${room.otherwise}`,
    },
  );
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`;
}

/** `gradients take 86 MB on 2 threads, activations in memory` */
export function describeMemory(what: string, { predictedBytes, onDisk, lanes }: PassMemory): string {
  const place = onDisk ? 'activations on disk' : 'activations in memory';
  return `${what} take ${Math.ceil(predictedBytes / 1e6)} MB on ${lanes} threads, ${place}`;
}
