/**
 * @file What errors of the weights of one span cost, once all later weights of the row have made good what they can: dw M dw', with M a
 * symmetric positive matrix. Its factor, M = U D U' with U unit upper triangular, tells which error of one weight the ones
 * after it can cancel, and how.
 */
import { STRIDE } from '@bitsmith/ggml';

/** Weights of a row that are decided together. Arrays are shared with other threads; their rows are padded with zeros to `stride`. */
export interface SpanMetric {
  readonly size: number;
  readonly stride: number;
  /** M: [size, size] */
  readonly matrix: Float32Array;
  /** In which weights are decided: those whose errors cost most first, while many others can still make them good. */
  readonly order: Uint16Array;
  /** Of the k-th weight decided, what it takes over of the errors of those before it: row k, columns below k. */
  readonly feedback: Float32Array;
  /** What is left of the k-th error by then costs this: the diagonal of D. */
  readonly pivots: Float32Array;
}

export function spanMetric(matrix: Float64Array, size: number): SpanMetric {
  const stride = Math.ceil(size / STRIDE) * STRIDE;
  const order = new Uint16Array(new SharedArrayBuffer(2 * size));
  order.set(
    Uint16Array.from({ length: size }, (_, index) => index).sort(
      (a, b) => matrix[b * size + b] - matrix[a * size + a] || a - b,
    ),
  );
  const pivots = new Float32Array(new SharedArrayBuffer(4 * size));
  const feedback = padded(feedbackOf(matrix, order, pivots), size, stride);
  return { size, stride, matrix: padded(matrix, size, stride), order, feedback, pivots };
}

/** What an error of each weight costs by itself. */
export function diagonalOf({ size, stride, matrix }: SpanMetric): Float32Array {
  return Float32Array.from({ length: size }, (_, j) => matrix[j * stride + j]);
}

/** U of the reordered matrix, transposed: eliminated from the last weight decided to the first. */
function feedbackOf(matrix: Float64Array, order: Uint16Array, pivots: Float32Array): Float64Array {
  const size = order.length;
  const left = new Float64Array(size * size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++) left[i * size + j] = matrix[order[i] * size + order[j]];
  const feedback = new Float64Array(size * size);
  for (let k = size - 1; k >= 0; k--) {
    const pivot = (pivots[k] = left[k * size + k]);
    for (let i = 0; i < k; i++) feedback[k * size + i] = left[k * size + i] / pivot;
    for (let i = 0; i < k; i++) {
      const factor = feedback[k * size + i];
      for (let j = 0; j <= i; j++) left[i * size + j] -= factor * left[k * size + j];
    }
  }
  return feedback;
}

function padded(values: Float64Array, size: number, stride: number): Float32Array {
  const rows = new Float32Array(new SharedArrayBuffer(4 * size * stride));
  for (let i = 0; i < size; i++) rows.set(values.subarray(i * size, (i + 1) * size), i * stride);
  return rows;
}

/** The inverse of a symmetric positive matrix, by Cholesky's factor; null where it is not positive. */
export function inverseOf(matrix: Float64Array, size: number): Float64Array | null {
  const factor = matrix.slice();
  for (let j = 0; j < size; j++) {
    let pivot = factor[j * size + j];
    for (let k = 0; k < j; k++) pivot -= factor[j * size + k] ** 2;
    if (!(pivot > 0 && pivot < Infinity)) return null;
    const root = Math.sqrt(pivot);
    factor[j * size + j] = root;
    for (let i = j + 1; i < size; i++) {
      let value = factor[i * size + j];
      for (let k = 0; k < j; k++) value -= factor[i * size + k] * factor[j * size + k];
      factor[i * size + j] = value / root;
    }
  }
  return invertedOf(factor, size);
}

/** (L L')^-1: columns of L^-1, then their products. */
function invertedOf(lower: Float64Array, size: number): Float64Array {
  // Row j holds column j of the inverse of L.
  const columns = new Float64Array(size * size);
  for (let j = 0; j < size; j++) {
    columns[j * size + j] = 1 / lower[j * size + j];
    for (let i = j + 1; i < size; i++) {
      let value = 0;
      for (let k = j; k < i; k++) value -= lower[i * size + k] * columns[j * size + k];
      columns[j * size + i] = value / lower[i * size + i];
    }
  }
  const inverse = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let value = 0;
      for (let k = i; k < size; k++) value += columns[i * size + k] * columns[j * size + k];
      inverse[i * size + j] = inverse[j * size + i] = value;
    }
  }
  return inverse;
}
