/** @file Medians, ranks, coverage, and ratios of paired measurements with their standard error. */

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export interface PairedRatio {
  readonly ratio: number;
  readonly standardError: number;
}

/** A median's standard error over a mean's, for normal values. */
const MEDIAN_PENALTY = Math.sqrt(Math.PI / 2);

/** The median of the ratios of pairs measured side by side: what disturbs both halves of a pair cancels. */
export function pairedMedianRatio(ours: readonly number[], peers: readonly number[]): PairedRatio {
  const ratios = ours.map((value, index) => value / peers[index]);
  const mean = ratios.reduce((sum, value) => sum + value, 0) / ratios.length;
  const squares = ratios.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const error = Math.sqrt(squares / Math.max(1, ratios.length - 1) / ratios.length);
  return { ratio: median(ratios), standardError: MEDIAN_PENALTY * error };
}

/** The ratio of the means of paired values, with its standard error to first order. */
export function ratioOfMeans(ours: ArrayLike<number>, peers: ArrayLike<number>): PairedRatio {
  const count = ours.length;
  let ourSum = 0;
  let peerSum = 0;
  for (let i = 0; i < count; i++) {
    ourSum += ours[i];
    peerSum += peers[i];
  }
  const ratio = ourSum / peerSum;
  let squares = 0;
  for (let i = 0; i < count; i++) squares += (ours[i] - ratio * peers[i]) ** 2;
  return { ratio, standardError: Math.sqrt(squares * (count / (count - 1))) / peerSum };
}

/** The value below which `fraction` of the values lie, interpolated linearly between neighbours. */
export function percentile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const position = fraction * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
}

/** Spearman's rank correlation; equal values share the mean of their ranks. NaN where one side has no order at all. */
export function spearman(first: readonly number[], second: readonly number[]): number {
  return pearson(ranks(first), ranks(second));
}

/** Ranks from 1, with the mean rank for equal values. */
export function ranks(values: readonly number[]): number[] {
  const order = values.map((_, index) => index).sort((a, b) => values[a] - values[b]);
  const found = values.map(() => 0);
  for (let first = 0; first < order.length;) {
    let end = first + 1;
    while (end < order.length && values[order[end]] === values[order[first]]) end++;
    for (let place = first; place < end; place++) found[order[place]] = (first + 1 + end) / 2;
    first = end;
  }
  return found;
}

function pearson(first: readonly number[], second: readonly number[]): number {
  const [meanOfFirst, meanOfSecond] = [mean(first), mean(second)];
  let product = 0;
  let firstSquares = 0;
  let secondSquares = 0;
  first.forEach((value, index) => {
    const [x, y] = [value - meanOfFirst, second[index] - meanOfSecond];
    product += x * y;
    firstSquares += x * x;
    secondSquares += y * y;
  });
  return product / Math.sqrt(firstSquares * secondSquares);
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Share of the true values that lie inside of their intervals, limits included. */
export function coverage(
  intervals: readonly { readonly low: number; readonly high: number }[],
  truths: readonly number[],
): number {
  const inside = truths.filter(
    (truth, index) => truth >= intervals[index].low && truth <= intervals[index].high,
  );
  return inside.length / truths.length;
}

/**
 * Standard error of a statistic over samples that may be drawn again: `count` times as many samples as there are are drawn
 * with replacement, and the spread of the statistic is taken.
 * @param words 32 random bits a call
 */
export function bootstrapError(
  samples: number,
  count: number,
  words: () => number,
  statistic: (drawn: readonly number[]) => number,
): number {
  const values = Array.from({ length: count }, () =>
    statistic(Array.from({ length: samples }, () => Math.floor((words() * samples) / 2 ** 32))),
  ).filter(Number.isFinite);
  const centre = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
}
