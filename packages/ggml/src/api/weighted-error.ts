/** @file The weighted squared error between weights and their decoded codes. */
import { assertLength, misuse } from './validate.js';

/**
 * sum_ij r_i c_j (w_ij - w'_ij)^2, in float64. Missing weights count as 1.
 * @param values w, `rows` x `rowLength`
 * @param decoded w', of the same shape
 * @param columnWeights c, one a column
 * @param rowWeights r, one a row
 */
export function weightedError(
  values: Float32Array,
  decoded: Float32Array,
  rows: number,
  rowLength: number,
  columnWeights?: Float32Array,
  rowWeights?: Float32Array,
): number {
  if (rowWeights !== undefined) assertLength('rowWeights', 'values', rowWeights.length, rows);
  const errors = weightedRowErrors(values, decoded, rows, rowLength, columnWeights);
  let total = 0;
  for (let row = 0; row < rows; row++)
    total += rowWeights === undefined ? errors[row] : rowWeights[row] * errors[row];
  return total;
}

/** sum_j c_j (w_ij - w'_ij)^2 of every row i, in float64. Arguments as of `weightedError`. */
export function weightedRowErrors(
  values: Float32Array,
  decoded: Float32Array,
  rows: number,
  rowLength: number,
  columnWeights?: Float32Array,
): Float64Array {
  assertLength('values', 'weights', values.length, rows * rowLength);
  assertLength('decoded values', 'weights', decoded.length, rows * rowLength);
  if (columnWeights !== undefined) assertLength('columnWeights', 'values', columnWeights.length, rowLength);
  if (!Number.isInteger(rows) || !Number.isInteger(rowLength)) {
    throw misuse('ENGINE_ARGUMENT', 'whole numbers of rows and columns', `${rows} x ${rowLength}`);
  }
  const errors = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const start = row * rowLength;
    errors[row] =
      columnWeights === undefined
        ? plainRow(values, decoded, start, rowLength)
        : weightedRow(values, decoded, start, rowLength, columnWeights);
  }
  return errors;
}

/* Two running sums each: a single one would wait for its own last addition. */

function plainRow(a: Float32Array, b: Float32Array, start: number, length: number): number {
  let even = 0;
  let odd = 0;
  const pairs = length - (length % 2);
  for (let i = 0; i < pairs; i += 2) {
    const d0 = a[start + i] - b[start + i];
    const d1 = a[start + i + 1] - b[start + i + 1];
    even += d0 * d0;
    odd += d1 * d1;
  }
  if (pairs < length) {
    const d = a[start + pairs] - b[start + pairs];
    even += d * d;
  }
  return even + odd;
}

function weightedRow(
  a: Float32Array,
  b: Float32Array,
  start: number,
  length: number,
  weights: Float32Array,
): number {
  let even = 0;
  let odd = 0;
  const pairs = length - (length % 2);
  for (let i = 0; i < pairs; i += 2) {
    const d0 = a[start + i] - b[start + i];
    const d1 = a[start + i + 1] - b[start + i + 1];
    even += d0 * d0 * weights[i];
    odd += d1 * d1 * weights[i + 1];
  }
  if (pairs < length) {
    const d = a[start + pairs] - b[start + pairs];
    even += d * d * weights[pairs];
  }
  return even + odd;
}
