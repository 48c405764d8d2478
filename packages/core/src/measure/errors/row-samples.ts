/** @file A systematic sample of a tensor's rows, decoded, with what each row stands for and the column weights of its matrix. */
import type { ImportanceMatrix } from '@bitsmith/formats';
import { decodeRows, type Engine } from '@bitsmith/ggml';
import { ROW_COUNTS } from '../../calibrate/accumulator.js';
import { columnWeights, vectorOfRow } from '../../calibrate/column-weights.js';
import type { StoredTensor, WeightFiles } from '../../model/weight-files.js';
import { sampleRows } from './sample-rows.js';

/** Rows of one matrix, as floats, with what they stand for. */
export interface RowSample {
  readonly values: Float32Array;
  readonly rows: number;
  readonly rowLength: number;
  readonly rowWeights: Float32Array;
  /** Column weights; without, every column counts alike and encoders work without. */
  readonly importance: Float32Array | undefined;
}

/**
 * Reads the sampled rows, grouped by matrix so that each group has one importance vector.
 * @param importance null: encoders work without, and rows are spaced evenly, whatever they stand for
 * @param even spaces rows evenly in any case
 */
export async function readSamples(
  engine: Engine,
  files: WeightFiles,
  tensor: StoredTensor,
  importance: ImportanceMatrix | null,
  sampleWeights: number,
  even = false,
): Promise<RowSample[]> {
  const { rowLength, rows, rowBytes } = tensor;
  const weights = importance === null ? null : columnWeights(importance, tensor);
  // A tied embedding is the output head as well, where every row is used for every token.
  const lookedUp = !even && tensor.name === 'token_embd.weight' && files.has('output.weight');
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
