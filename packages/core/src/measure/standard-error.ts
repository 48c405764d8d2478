/** @file How far a mean over independent samples may be off. */

/** Standard error of the samples' mean; null of fewer than two. */
export function standardErrorOfMean(samples: readonly number[]): number | null {
  const count = samples.length;
  if (count < 2) return null;
  const mean = samples.reduce((sum, value) => sum + value, 0) / count;
  const squares = samples.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(squares / (count * (count - 1)));
}
