/** @file What an entry must satisfy, whether it was read or is about to be written. */
import { imatrixError } from './fail.js';
import type { ImportanceEntry } from './types.js';
import { quote } from '../text/quote.js';

/**
 * llama.cpp's encoders abort on a negative or NaN weight, so such a file is refused here.
 * @throws BitsmithError `IMATRIX_SHAPE`, `IMATRIX_VALUE`.
 */
export function checkEntry(name: string, entry: ImportanceEntry): void {
  const values = entry.columns * entry.matrices;
  const lengths: [string, number, number][] = [
    ['sums of squares', entry.inSum2.length, values],
    ['counts', entry.counts.length, entry.matrices],
    ['sums', entry.inSum?.length ?? values, values],
  ];
  for (const [what, found, expected] of lengths) {
    if (found === expected && values > 0) continue;
    throw imatrixError(
      'IMATRIX_SHAPE',
      `${quote(name)} has ${found} ${what} for ${entry.matrices} x ${entry.columns}`,
      {
        expected: String(expected),
        found: String(found),
      },
    );
  }
  refuse(name, 'sum of squares', entry.inSum2, isFiniteAndNotNegative);
  refuse(name, 'count', entry.counts, isFiniteAndNotNegative);
  if (entry.inSum !== undefined) refuse(name, 'sum', entry.inSum, Number.isFinite);
}

function isFiniteAndNotNegative(value: number): boolean {
  return value >= 0 && value < Infinity;
}

function refuse(name: string, what: string, values: Float32Array, allowed: (value: number) => boolean): void {
  for (let index = 0; index < values.length; index++) {
    if (allowed(values[index])) continue;
    throw imatrixError(
      'IMATRIX_VALUE',
      `${quote(name)} holds the ${what} ${values[index]} at position ${index}`,
      {
        expected: 'a finite value, not negative where it counts or sums squares',
        found: String(values[index]),
      },
    );
  }
}
