/**
 * @file In the engine: what each scheme does to a tensor's weights. The error is the importance-weighted square
 * sum_ij r_i c_j (w_ij - w'_ij)^2 over a systematic sample of rows, scaled to the whole tensor, w' decoded from the very
 * bytes that the scheme would store.
 */
import { type ImportanceMatrix, tensorByteLength, type TensorType } from '@bitsmith/formats';
import { decodeRows, encodeRows, type Engine, prepareCodebooks, weightedError } from '@bitsmith/ggml';
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
    readonly importancePath: string;
    readonly sampleWeights: number;
    readonly tensors: readonly { readonly name: string; readonly schemes: readonly TensorType[] }[];
  },
  { readonly tensor: string; readonly errors: Readonly<Record<string, number>> },
  null
>;

/** Rows of one matrix, as floats, with what they stand for. */
interface RowSample {
  readonly values: Float32Array;
  readonly rows: number;
  readonly rowLength: number;
  readonly rowWeights: Float32Array;
  readonly importance: Float32Array;
}

export const runErrors: TaskHandler<ErrorsTask> = async (parameters, report, settings) => {
  const engine = nativeEngine(settings);
  const files = await WeightFiles.open(parameters.files);
  try {
    const importance = await readImportance(parameters.importancePath);
    await prepareTables(engine, parameters.tensors);
    await inLanes(settings.threads, parameters.tensors, async ({ name, schemes }) => {
      const tensor = files.tensor(name);
      const samples = await readSamples(engine, files, tensor, importance, parameters.sampleWeights);
      const errors: Record<string, number> = {};
      for (const scheme of schemes) {
        const error = await errorOf(engine, samples, scheme);
        // A scheme that overflows on these weights is no candidate for them.
        if (Number.isFinite(error)) errors[scheme] = error;
      }
      report({ tensor: name, errors });
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
  importance: ImportanceMatrix,
  sampleWeights: number,
): Promise<RowSample[]> {
  const { rowLength, rows, rowBytes } = tensor;
  const weights = columnWeights(importance, tensor);
  // A tied embedding is the output head as well, where every row is used for every token.
  const lookedUp = tensor.name === 'token_embd.weight' && files.has('output.weight');
  const frequencies = lookedUp ? importance.extra.get(ROW_COUNTS)?.values : undefined;
  const count = Math.min(rows, Math.max(16, Math.ceil(sampleWeights / rowLength)));
  const sampled = sampleRows(rows, count, frequencies?.length === rows ? frequencies : undefined);
  const hits = sampled.reduce((sum, { hits }) => sum + hits, 0);
  const groups = new Map<Float32Array, { row: number; hits: number }[]>();
  for (const item of sampled) {
    const vector = vectorOfRow(weights, tensor, item.row);
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
    samples.push({ values, rows: items.length, rowLength, rowWeights, importance: vector });
  }
  return samples;
}

async function errorOf(engine: Engine, samples: readonly RowSample[], scheme: TensorType): Promise<number> {
  let error = 0;
  for (const { values, rows, rowLength, rowWeights, importance } of samples) {
    const bytes = new Uint8Array(tensorByteLength(scheme, [rowLength, rows]));
    try {
      await encodeRows(engine, { type: scheme, values, rows, rowLength, importance }, bytes);
    } catch (error) {
      if (isOverflow(error)) return Number.POSITIVE_INFINITY;
      throw error;
    }
    const decoded = new Float32Array(values.length);
    await decodeRows(engine, { type: scheme, bytes, rows, rowLength }, decoded);
    error += weightedError(values, decoded, rows, rowLength, importance, rowWeights);
  }
  return error;
}
