/**
 * @file In the engine: the weights with the most importance, |w_ij|^2 E[x_j^2]: what each adds to the square of its output, on
 * average. One pass over all matrices that inputs are multiplied by.
 */
import { decodeRows } from '@bitsmith/ggml';
import { columnWeights, vectorOfRow } from '../../calibrate/column-weights.js';
import { cutIntoSlabs } from '../../encode/slabs.js';
import type { TaskHandler, TaskType } from '../../engine/task-type.js';
import { nativeEngine } from '../../engine/session.js';
import { readImportance } from '../../io/read-importance.js';
import { WeightFiles } from '../../model/weight-files.js';
import { TopValues } from './top-values.js';

/** One weight in its place. */
export interface ImportantWeight {
  readonly tensor: string;
  readonly row: number;
  readonly column: number;
  readonly value: number;
  /** |w|^2 E[x^2], in the square of the output's units. */
  readonly importance: number;
}

export type TopWeightsTask = TaskType<
  {
    readonly files: readonly string[];
    readonly importancePath: string;
    readonly tensors: readonly string[];
    /** How many weights are kept. */
    readonly count: number;
    /** How many of them are listed. */
    readonly listed: number;
  },
  { readonly tensors: number },
  {
    readonly weights: readonly ImportantWeight[];
    /** How many of all that were kept lie in each tensor. */
    readonly counts: Readonly<Record<string, number>>;
  }
>;

const SLAB_WEIGHTS = 1 << 20;

export const runTopWeights: TaskHandler<TopWeightsTask> = async (parameters, report, settings) => {
  const { tensors, count, listed } = parameters;
  const engine = nativeEngine(settings);
  const files = await WeightFiles.open(parameters.files);
  try {
    const importance = await readImportance(parameters.importancePath);
    const top = new TopValues(count);
    /** Weights before each tensor: a key is a place in all of them. */
    const starts: number[] = [];
    let start = 0;
    for (const name of tensors) {
      const tensor = files.tensor(name);
      const { rowLength, rows, rowBytes, type } = tensor;
      const weights = columnWeights(importance, tensor);
      starts.push(start);
      for (const slab of cutIntoSlabs({ ...tensor, rowsPerMatrix: tensor.shape[1] }, SLAB_WEIGHTS)) {
        const bytes = new Uint8Array(slab.rows * rowBytes);
        await files.readRows(name, slab.firstRow, bytes);
        const values = new Float32Array(slab.rows * rowLength);
        await decodeRows(engine, { type, bytes, rows: slab.rows, rowLength }, values);
        offerAll(top, values, vectorOfRow(weights, tensor, slab.firstRow), start + slab.firstRow * rowLength);
      }
      start += rows * rowLength;
      report({ tensors: starts.length });
    }
    return await describe(top, tensors, starts, files, settings, listed);
  } finally {
    await files.close();
  }
};

function offerAll(top: TopValues, values: Float32Array, columns: Float32Array, firstKey: number): void {
  const width = columns.length;
  let { threshold } = top;
  for (let start = 0; start < values.length; start += width) {
    for (let column = 0; column < width; column++) {
      const weight = values[start + column];
      const importance = weight * weight * columns[column];
      if (importance <= threshold) continue;
      top.offer(importance, firstKey + start + column);
      threshold = top.threshold;
    }
  }
}

async function describe(
  top: TopValues,
  tensors: readonly string[],
  starts: readonly number[],
  files: WeightFiles,
  settings: Parameters<TaskHandler<TopWeightsTask>>[2],
  listed: number,
): Promise<TopWeightsTask['result']> {
  const counts: Record<string, number> = {};
  const weights: ImportantWeight[] = [];
  for (const { value: importance, key } of top.sorted()) {
    const index = starts.findLastIndex((start) => start <= key);
    const name = tensors[index];
    counts[name] = (counts[name] ?? 0) + 1;
    if (weights.length >= listed) continue;
    const { rowLength, rowBytes, type } = files.tensor(name);
    const row = Math.floor((key - starts[index]) / rowLength);
    const column = (key - starts[index]) % rowLength;
    const bytes = new Uint8Array(rowBytes);
    await files.readRows(name, row, bytes);
    const values = new Float32Array(rowLength);
    await decodeRows(nativeEngine(settings), { type, bytes, rows: 1, rowLength }, values);
    weights.push({ tensor: name, row, column, value: values[column], importance });
  }
  return { weights, counts };
}
