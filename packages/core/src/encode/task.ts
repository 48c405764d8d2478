/**
 * @file In the engine: encodes a plan's tensors into their places in the unfinished output. Lanes work on slabs of rows
 * side by side; a line in the journal says that a tensor is complete, so that a later run continues after it.
 */
import { appendFile, type FileHandle, open } from 'node:fs/promises';
import { tensorTypes, type TensorType } from '@bitsmith/formats';
import type { TaskHandler, TaskType } from '../engine/task-type.js';
import { nativeEngine } from '../engine/session.js';
import { fileError } from '../io/file-errors.js';
import { writeAt } from '../io/file-sink.js';
import { readImportance } from '../io/read-importance.js';
import { type StoredTensor, WeightFiles } from '../model/weight-files.js';
import { inLanes } from '../run/lanes.js';
import type { ColumnWeights } from '../calibrate/column-weights.js';
import { EncoderLane, weightsFor } from './encode-rows.js';
import { type EncodedCache, sharedEncodedCache } from './encoded-cache.js';
import { encodeLanes } from './feedback/encode-memory.js';
import { Rounder } from './feedback/rounder.js';
import type { EncodedTensorPlace } from './learned/learned-task.js';
import { readParts } from './learned/stored-parts.js';
import { cutIntoSlabs, type Slab, SLAB_WEIGHTS } from './slabs.js';
import type { RoundingParameters } from '../gram/rounding.js';

/** A tensor's place in the output. */
export interface EncodedPlace {
  readonly name: string;
  readonly scheme: TensorType;
  readonly offset: number;
  /** Its bytes, where they were made before; null: they are to be made. */
  readonly learned: EncodedTensorPlace | null;
}

export type EncodeTask = TaskType<
  {
    readonly files: readonly string[];
    readonly importancePath: string;
    readonly rounding: RoundingParameters | null;
    /** Memory of the engine's in which measurements may have left tensors encoded. */
    readonly encodedCacheBytes: number;
    readonly outputPath: string;
    readonly journalPath: string;
    readonly tensors: readonly EncodedPlace[];
  },
  { readonly tensor: string; readonly weights: number; readonly complete: boolean },
  null
>;

interface SlabJob {
  readonly place: EncodedPlace;
  readonly tensor: StoredTensor;
  readonly weights: ColumnWeights | null;
  readonly slab: Slab;
  /** Gives bytes that were made before; null: they are to be encoded. */
  readonly made: (() => Promise<Uint8Array>) | null;
  /** Shared by the slabs of a tensor: how many are still to be written. */
  readonly progress: { slabsLeft: number };
}

export const runEncode: TaskHandler<EncodeTask> = async (parameters, report, settings) => {
  const engine = nativeEngine(settings);
  const files = await WeightFiles.open(parameters.files);
  const output = await openOutput(parameters.outputPath);
  try {
    const importance = await readImportance(parameters.importancePath);
    const rounder = new Rounder(engine, parameters.rounding);
    const encoded = sharedEncodedCache(parameters, parameters.encodedCacheBytes);
    const lanes = encodeLanes(parameters.rounding, settings.threads);
    const freeLanes = Array.from({ length: lanes }, () => new EncoderLane(engine, files));
    await inLanes(lanes, slabJobs(parameters, files, importance, encoded), async (job) => {
      const lane = freeLanes.pop() as EncoderLane;
      try {
        await encodeSlab(lane, job, rounder, output, parameters);
      } finally {
        freeLanes.push(lane);
      }
      const { tensor, slab, progress } = job;
      const complete = progress.slabsLeft === 0;
      report({ tensor: tensor.name, weights: slab.rows * tensor.rowLength, complete });
    });
    return null;
  } finally {
    await output.close();
    await files.close();
  }
};

async function openOutput(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r+');
  } catch (error) {
    throw fileError(error, path, 'write');
  }
}

function* slabJobs(
  { tensors }: EncodeTask['parameters'],
  files: WeightFiles,
  importance: Awaited<ReturnType<typeof readImportance>>,
  encoded: EncodedCache,
): Generator<SlabJob> {
  for (const place of tensors) {
    const tensor = files.tensor(place.name);
    const made = madeBefore(place, encoded);
    if (made !== null) {
      const slab = { firstRow: 0, rows: tensor.rows };
      yield { place, tensor, weights: null, slab, made, progress: { slabsLeft: 1 } };
      continue;
    }
    const weights = place.scheme === tensor.type ? null : weightsFor(importance, tensor, place.scheme);
    const rowsPerMatrix = tensor.shape[1] ?? 1;
    const slabs = cutIntoSlabs(
      { rowLength: tensor.rowLength, rows: tensor.rows, rowsPerMatrix },
      SLAB_WEIGHTS,
    );
    const progress = { slabsLeft: slabs.length };
    for (const slab of slabs) yield { place, tensor, weights, slab, made: null, progress };
  }
}

/** The whole tensor's bytes, where it was encoded on the way to the plan; null: it was not. */
function madeBefore({ name, scheme, learned }: EncodedPlace, encoded: EncodedCache): SlabJob['made'] {
  if (learned !== null) return async () => (await readParts(learned.path, learned.name)).data;
  const kept = encoded.get(name, scheme);
  return kept === undefined ? null : async () => kept;
}

async function encodeSlab(
  lane: EncoderLane,
  { place, tensor, weights, slab, made, progress }: SlabJob,
  rounder: Rounder,
  output: FileHandle,
  { outputPath, journalPath }: EncodeTask['parameters'],
): Promise<void> {
  const statistics = weights === null ? null : await rounder.statisticsOf(tensor.name);
  const bytes = await (made?.() ?? lane.encode(tensor, slab, place.scheme, weights, statistics));
  const { blockSize, blockBytes } = tensorTypes[place.scheme];
  const rowBytes = (tensor.rowLength / blockSize) * blockBytes;
  await writeAt(output, outputPath, bytes, place.offset + slab.firstRow * rowBytes);
  progress.slabsLeft--;
  if (progress.slabsLeft > 0) return;
  try {
    await appendFile(journalPath, `${JSON.stringify(tensor.name)}\n`);
  } catch (error) {
    throw fileError(error, journalPath, 'write');
  }
}
