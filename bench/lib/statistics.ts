/** @file Medians, and ratios of paired measurements with their standard error. */

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
