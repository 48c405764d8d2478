/**
 * @file In the engine: what each scheme does to a tensor's weights. The error is the weighted square
 * sum_ij r_i c_j (w_ij - w'_ij)^2 over a systematic sample of rows, scaled to the whole tensor, w' decoded from the very
 * bytes that the scheme would store.
 */
import { type ImportanceMatrix, tensorByteLength, type TensorType } from '@bitsmith/formats';
import {
  decodeRows,
  encodeRows,
  type Engine,
  prepareCodebooks,
  requiresImportance,
  weightedError,
} from '@bitsmith/ggml';
import { ROW_COUNTS } from '../calibrate/accumulator.js';
import { isOverflow } from '../encode/encode-rows.js';
import type { TaskHandler, TaskType } from '../engine/task-type.js';
import { nativeEngine } from '../engine/session.js';
import { readImportance } from '../io/read-importance.js';
import { type StoredTensor, WeightFiles } from '../model/weight-files.js';
import { inLanes } from '../run/lanes.js';
import { columnWeights, vectorOfRow } from '../calibrate/column-weights.js';
import { sampleRows } from './sample-rows.js';

export type ErrorsTask = TaskType<
  {
    readonly files: readonly string[];
    /** Null: encoders work without column weights, but for those that refuse to. */
    readonly importancePath: string | null;
    readonly weighting: ErrorWeighting;
    readonly sampleWeights: number;
    readonly tensors: readonly { readonly name: string; readonly schemes: readonly TensorType[] }[];
  },
  {
    readonly tensor: string;
    /** Null where the scheme cannot hold the weights. */
    readonly errors: Readonly<Record<string, number | null>>;
    /** The same sum over the weights themselves. */
    readonly squares: number;
  },
  null
>;

/**
 * `importance`: c_j is the mean square of input channel j, r_i what the row stands for (of an embedding that is only looked up,
 * how often its token occurs). `plain`: every weight counts alike.
 */
export type ErrorWeighting = 'importance' | 'plain';

/** Rows of one matrix, as floats, with what they stand for. */
interface RowSample {
  readonly values: Float32Array;
  readonly rows: number;
  readonly rowLength: number;
  readonly rowWeights: Float32Array;
  /** What encoders work with. */
  readonly importance: Float32Array | undefined;
  /** What errors are weighted with; every column alike without. */
  readonly columnWeights: Float32Array | undefined;
}

export const runErrors: TaskHandler<ErrorsTask> = async (parameters, report, settings) => {
  const engine = nativeEngine(settings);
  const files = await WeightFiles.open(parameters.files);
  try {
    const { importancePath } = parameters;
    const importance = importancePath === null ? null : await readImportance(importancePath);
    await prepareTables(engine, parameters.tensors);
    await inLanes(settings.threads, parameters.tensors, async ({ name, schemes }) => {
      const samples = await readSamples(engine, files, files.tensor(name), importance, parameters);
      const errors: Record<string, number | null> = {};
      for (const scheme of schemes) {
        const error = await errorOf(engine, samples, scheme);
        // A scheme that overflows on these weights is no candidate for them.
        errors[scheme] = Number.isFinite(error) ? error : null;
      }
      report({ tensor: name, errors, squares: squaresOf(samples) });
    });
    return null;
  } finally {
    await files.close();
  }
};

/** Builds the codebooks of all schemes side by side: one by one they would leave the other cores waiting. */
async function prepareTables(engine: Engine, tensors: ErrorsTask['parameters']['tensors']): Promise<void> {
  const schemes = new Set(tensors.flatMap((tensor) => tensor.schemes));
  await Promise.all([...schemes].map((scheme) => prepareCodebooks(engine, scheme)));
}

/** Reads the sampled rows, grouped by matrix so that each group has one importance vector. */
async function readSamples(
  engine: Engine,
  files: WeightFiles,
  tensor: StoredTensor,
  importance: ImportanceMatrix | null,
  { sampleWeights, weighting }: ErrorsTask['parameters'],
): Promise<RowSample[]> {
  const { rowLength, rows, rowBytes } = tensor;
  const weights = importance === null ? null : columnWeights(importance, tensor);
  const weighted = weighting === 'importance';
  // A tied embedding is the output head as well, where every row is used for every token.
  const lookedUp = weighted && tensor.name === 'token_embd.weight' && files.has('output.weight');
  const frequencies = lookedUp ? importance?.extra.get(ROW_COUNTS)?.values : undefined;
  const count = Math.min(rows, Math.max(16, Math.ceil(sampleWeights / rowLength)));
  const sampled = sampleRows(rows, count, frequencies?.length === rows ? frequencies : undefined);
  const hits = sampled.reduce((sum, { hits }) => sum + hits, 0);
  const groups = new Map<Float32Array | undefined, { row: number; hits: number }[]>();
  for (const item of sampled) {
    const vector = weights === null ? undefined : vectorOfRow(weights, tensor, item.row);
    const group = groups.get(vector);
    if (group === undefined) groups.set(vector, [item]);
    else group.push(item);
  }
  const samples: RowSample[] = [];
  for (const [vector, items] of groups) {
    const bytes = new Uint8Array(items.length * rowBytes);
    for (const [index, { row }] of items.entries()) {
      await files.readRows(tensor.name, row, bytes.subarray(index * rowBytes, (index + 1) * rowBytes));
    }
    const values = new Float32Array(items.length * rowLength);
    await decodeRows(engine, { type: tensor.type, bytes, rows: items.length, rowLength }, values);
    const rowWeights = Float32Array.from(items, ({ hits: times }) => (times * rows) / hits);
    const columnWeights = weighted ? vector : undefined;
    samples.push({ values, rows: items.length, rowLength, rowWeights, importance: vector, columnWeights });
  }
  return samples;
}

async function errorOf(engine: Engine, samples: readonly RowSample[], scheme: TensorType): Promise<number> {
  let error = 0;
  for (const { values, rows, rowLength, rowWeights, importance, columnWeights } of samples) {
    const bytes = new Uint8Array(tensorByteLength(scheme, [rowLength, rows]));
    const uniform = (): Float32Array => new Float32Array(rowLength).fill(1);
    const vector = importance ?? (requiresImportance(scheme) ? uniform() : undefined);
    try {
      await encodeRows(engine, { type: scheme, values, rows, rowLength, importance: vector }, bytes);
    } catch (error) {
      if (isOverflow(error)) return Number.POSITIVE_INFINITY;
      throw error;
    }
    const decoded = new Float32Array(values.length);
    await decodeRows(engine, { type: scheme, bytes, rows, rowLength }, decoded);
    error += weightedError(values, decoded, rows, rowLength, columnWeights, rowWeights);
  }
  return error;
}

function squaresOf(samples: readonly RowSample[]): number {
  return samples.reduce((sum, { values, rows, rowLength, rowWeights, columnWeights }) => {
    const nothing = new Float32Array(values.length);
    return sum + weightedError(values, nothing, rows, rowLength, columnWeights, rowWeights);
  }, 0);
}
