/**
 * @file The scheme a tensor is probed with: the one whose true loss is measured and from which the prices of all others
 * follow. It should stand in the middle of the schemes a plan chooses from, where the loss is far above the noise of the
 * measurement and still quadratic in the error, and its encoder should be quick.
 */
import { legalSchemes } from './schemes.js';
import type { SchemeId } from './schemes.js';

/** First choice first. BF16 is for rows that nothing coarser can store. */
const preferred: readonly SchemeId[] = ['Q3_K', 'Q4_0', 'BF16'];

/** The scheme to probe a tensor of this row length with. */
export function probeScheme(rowLength: number): SchemeId {
  const legal = new Set(legalSchemes(rowLength).map(({ id }) => id));
  return preferred.find((id) => legal.has(id)) ?? 'BF16';
}
