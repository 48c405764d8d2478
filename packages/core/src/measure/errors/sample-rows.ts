/**
 * @file Which rows of a tensor stand for all of them when an encoder's error is measured. Prices use ratios of errors on
 * the same rows, in which the choice of rows cancels to first order, so a small systematic sample is enough.
 */

/** A row with the share of the tensor it stands for. */
export interface SampledRow {
  readonly row: number;
  /** How many times the systematic sample hit the row. */
  readonly hits: number;
}

/**
 * A systematic sample of `count` rows, evenly spaced over the rows, or over their frequencies where given (an embedding
 * row matters as often as its token occurs). Deterministic.
 */
export function sampleRows(rows: number, count: number, frequencies?: ArrayLike<number>): SampledRow[] {
  const total = frequencies === undefined ? rows : sum(frequencies);
  if (frequencies === undefined || total === 0) {
    if (count >= rows) return Array.from({ length: rows }, (_, row) => ({ row, hits: 1 }));
    return Array.from({ length: count }, (_, k) => ({
      row: Math.floor(((k + 0.5) * rows) / count),
      hits: 1,
    }));
  }
  const sampled: SampledRow[] = [];
  let row = 0;
  let passed = frequencies[0];
  let hits = 0;
  for (let k = 0; k < count; k++) {
    const point = ((k + 0.5) * total) / count;
    while (passed <= point && row < rows - 1) {
      if (hits > 0) sampled.push({ row, hits });
      hits = 0;
      passed += frequencies[++row];
    }
    hits++;
  }
  if (hits > 0) sampled.push({ row, hits });
  return sampled;
}

function sum(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i];
  return total;
}
