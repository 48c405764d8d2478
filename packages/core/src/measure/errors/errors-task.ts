/**
 * @file In the engine: what each scheme does to a tensor's weights, over a systematic sample of rows, scaled to the whole
 * tensor, w' decoded from the very bytes that the scheme would store: the weighted square sum_ij r_i c_j (w_ij - w'_ij)^2, with
 * c_j the mean square of input channel j, and the plain square sum_ij r_i (w_ij - w'_ij)^2. r_i is what row i stands for: of an
 * embedding that is only looked up, how often its token occurs.
 */
import { type ImportanceMatrix, isTensorType } from '@bitsmith/formats';
import { decodeRows, type Engine, requiresImportance, weightedError } from '@bitsmith/ggml';
import { ROW_COUNTS } from '../../calibrate/accumulator.js';
import { isOverflow } from '../../encode/encode-rows.js';
import { prepareSchemes, throughScheme } from '../../encode/through-scheme.js';
import type { TaskHandler, TaskType } from '../../engine/task-type.js';
import { nativeEngine } from '../../engine/session.js';
import { readImportance } from '../../io/read-importance.js';
import { type StoredTensor, WeightFiles } from '../../model/weight-files.js';
import type { StorageType } from '../../plan/schemes.js';
import { inLanes } from '../../run/lanes.js';
import { columnWeights, vectorOfRow } from '../../calibrate/column-weights.js';
import { sampleRows } from './sample-rows.js';

export type ErrorsTask = TaskType<
  {
    readonly files: readonly string[];
    /** Null: encoders work without column weights, but for those that refuse to. */
    readonly importancePath: string | null;
    readonly sampleWeights: number;
    readonly tensors: readonly { readonly name: string; readonly schemes: readonly StorageType[] }[];
  },
  {
    readonly tensor: string;
    /** Null where the scheme cannot hold the weights. */
    readonly errors: Readonly<Record<string, SchemeError | null>>;
    /** Plain sum of the squared weights, from rows spaced evenly. */
    readonly squares: number;
  },
  null
>;

/** Squared errors of one scheme, summed over the tensor. */
export interface SchemeError {
  readonly weighted: number;
  readonly plain: number;
}

/** Rows of one matrix, as floats, with what they stand for. */
interface RowSample {
  readonly values: Float32Array;
  readonly rows: number;
  readonly rowLength: number;
  readonly rowWeights: Float32Array;
  /** Column weights; without, every column counts alike and encoders work without. */
  readonly importance: Float32Array | undefined;
}

export const runErrors: TaskHandler<ErrorsTask> = async (parameters, report, settings) => {
  const engine = nativeEngine(settings);
  const files = await WeightFiles.open(parameters.files);
  try {
    const { importancePath } = parameters;
    const importance = importancePath === null ? null : await readImportance(importancePath);
    await prepareSchemes(
      engine,
      parameters.tensors.flatMap((tensor) => tensor.schemes),
    );
    await inLanes(settings.threads, parameters.tensors, async ({ name, schemes }) => {
      const tensor = files.tensor(name);
      const samples = await readSamples(engine, files, tensor, importance, parameters.sampleWeights);
      const errors: Record<string, SchemeError | null> = {};
      for (const scheme of schemes) errors[scheme] = await errorOf(engine, samples, scheme);
      const even = await readSamples(engine, files, tensor, null, parameters.sampleWeights);
      report({ tensor: name, errors, squares: squaresOf(even) });
    });
    return null;
  } finally {
    await files.close();
  }
};

/**
 * Reads the sampled rows, grouped by matrix so that each group has one importance vector.
 * @param importance null: rows are spaced evenly, whatever they stand for
 */
async function readSamples(
  engine: Engine,
  files: WeightFiles,
  tensor: StoredTensor,
  importance: ImportanceMatrix | null,
  sampleWeights: number,
): Promise<RowSample[]> {
  const { rowLength, rows, rowBytes } = tensor;
  const weights = importance === null ? null : columnWeights(importance, tensor);
  // A tied embedding is the output head as well, where every row is used for every token.
  const lookedUp = tensor.name === 'token_embd.weight' && files.has('output.weight');
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
    samples.push({ values, rows: items.length, rowLength, rowWeights, importance: vector });
  }
  return samples;
}

/** Null where the scheme, or a scale of it, overflows on these weights: then it is no candidate for them. */
async function errorOf(
  engine: Engine,
  samples: readonly RowSample[],
  scheme: StorageType,
): Promise<SchemeError | null> {
  let weighted = 0;
  let plain = 0;
  for (const { values, rows, rowLength, rowWeights, importance } of samples) {
    const decoded = new Float32Array(values.length);
    const uniform =
      isTensorType(scheme) && requiresImportance(scheme) ? new Float32Array(rowLength).fill(1) : undefined;
    const vector = importance ?? uniform;
    try {
      await throughScheme(engine, { scheme, values, rows, rowLength, importance: vector }, decoded);
    } catch (error) {
      if (isOverflow(error)) return null;
      throw error;
    }
    const unweighted = weightedError(values, decoded, rows, rowLength, undefined, rowWeights);
    plain += unweighted;
    weighted +=
      importance === undefined
        ? unweighted
        : weightedError(values, decoded, rows, rowLength, importance, rowWeights);
  }
  return Number.isFinite(weighted) && Number.isFinite(plain) ? { weighted, plain } : null;
}

function squaresOf(samples: readonly RowSample[]): number {
  return samples.reduce((sum, { values, rows, rowLength, rowWeights }) => {
    const nothing = new Float32Array(values.length);
    return sum + weightedError(values, nothing, rows, rowLength, undefined, rowWeights);
  }, 0);
}
