/**
 * @file The metric of a span for weights that are decided eight at a time: M = U D U' with U unit upper triangular by blocks of eight, in
 * an order of its own. D tells what errors of eight weights cost once the ones decided later have made good what they can, U what these
 * take over.
 */
import { inverseOf, type SpanMetric } from './span-metric.js';

export const EIGHT = 8;
const SQUARE = EIGHT * EIGHT;

export interface EightsMetric {
  /** The span's, with weights in the order of eights, and for each what it takes over of the errors of all eights before. */
  readonly metric: SpanMetric;
  /** Eights in the order of their decision: those whose errors cost most first. */
  readonly order: readonly number[];
  /** Blocks of M on its diagonal, by eight, and their inverses. */
  readonly own: Float64Array;
  readonly inverses: Float64Array;
  /** Blocks of D, by eight. */
  readonly left: Float64Array;
}

const known = new WeakMap<SpanMetric, EightsMetric>();

/** Made once for all rows. @param metric its size is a multiple of eight */
export function eightsMetric(metric: SpanMetric): EightsMetric {
  const found = known.get(metric) ?? made(metric);
  known.set(metric, found);
  return found;
}

function made(metric: SpanMetric): EightsMetric {
  const { size, stride, matrix } = metric;
  const eights = size / EIGHT;
  const own = new Float64Array(eights * SQUARE);
  const inverses = new Float64Array(eights * SQUARE);
  for (let eight = 0; eight < eights; eight++) {
    const block = own.subarray(eight * SQUARE, (eight + 1) * SQUARE);
    for (let i = 0; i < SQUARE; i++)
      block[i] = matrix[(eight * EIGHT + (i >> 3)) * stride + eight * EIGHT + (i & 7)];
    inverses.set(inverse(block), eight * SQUARE);
  }
  const traceOf = (eight: number): number => {
    let sum = 0;
    for (let k = 0; k < EIGHT; k++) sum += own[eight * SQUARE + 9 * k];
    return sum;
  };
  const order = Array.from({ length: eights }, (_, eight) => eight).sort(
    (a, b) => traceOf(b) - traceOf(a) || a - b,
  );
  const weights = new Uint16Array(new SharedArrayBuffer(2 * size));
  for (let k = 0; k < size; k++) weights[k] = order[k >> 3] * EIGHT + (k & 7);
  const { feedback, left } = factored(metric, order, weights);
  return { metric: { ...metric, order: weights, feedback }, order, own, inverses, left };
}

/** Eliminated from the last eight decided to the first. */
function factored({ size, stride, matrix }: SpanMetric, order: readonly number[], weights: Uint16Array) {
  const rest = new Float64Array(size * size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++) rest[i * size + j] = matrix[weights[i] * stride + weights[j]];
  const feedback = new Float32Array(new SharedArrayBuffer(4 * size * stride));
  const left = new Float64Array(order.length * SQUARE);
  const taken = new Float64Array(EIGHT * size);
  for (let place = order.length - 1; place >= 0; place--) {
    const first = place * EIGHT;
    const block = left.subarray(order[place] * SQUARE, (order[place] + 1) * SQUARE);
    for (let i = 0; i < SQUARE; i++) block[i] = rest[(first + (i >> 3)) * size + first + (i & 7)];
    const pivot = inverse(block);
    taken.fill(0);
    for (let k = 0; k < EIGHT; k++) {
      for (let i = 0; i < EIGHT; i++)
        for (let j = 0; j < first; j++)
          taken[k * size + j] += pivot[k * EIGHT + i] * rest[(first + i) * size + j];
      feedback.set(taken.subarray(k * size, k * size + first), (first + k) * stride);
    }
    for (let i = 0; i < first; i++)
      for (let k = 0; k < EIGHT; k++) {
        const factor = rest[(first + k) * size + i];
        for (let j = 0; j < first; j++) rest[i * size + j] -= factor * taken[k * size + j];
      }
  }
  return { feedback, left };
}

function inverse(block: Float64Array): Float64Array {
  const found = inverseOf(block, EIGHT);
  if (found === null) throw new Error('expected a positive metric');
  return found;
}
