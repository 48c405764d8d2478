/** @file The integer code that a multiple of a shared number is stored as. */
import type { BlockFormat } from '@bitsmith/formats';

/** Nearest to `value` in units of the number; 0 where that is 0, or where the type has no codes. */
export function codeNear(value: number, unit: number, range: BlockFormat['scaleCodes']): number {
  if (range === null || unit === 0) return 0;
  return Math.min(range.most, Math.max(range.least, Math.round(value / unit)));
}
