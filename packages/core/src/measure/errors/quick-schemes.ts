/** @file Schemes that are quick to encode, by the bits that are wanted: what a tensor is put in to see what that costs. */
import { bitsOf, type SchemeId } from '../../plan/schemes.js';

/** Cheapest first. The last ones serve rows that 256 does not divide. */
const quick: readonly SchemeId[] = ['Q2_K', 'Q3_K', 'Q4_K', 'Q6_K', 'Q2_0', 'Q4_0', 'Q8_0', 'BF16'];

/** Where uniform plans lie: about two, three and four bits. */
const LADDER_BITS = [2.6, 3.4, 4.5];

/** Whether a scheme is one of those that tensors are put in to see what that costs. */
export function isQuick(scheme: string): boolean {
  return quick.some((each) => each === scheme);
}

/** The one of `schemes` that is nearest to these bits, a quick one where there is any. */
function nearestScheme(schemes: readonly SchemeId[], bits: number): SchemeId {
  const distance = (scheme: SchemeId): number => Math.abs(bitsOf(scheme) - bits);
  const legal = quick.filter((scheme) => schemes.includes(scheme));
  return [...(legal.length > 0 ? legal : schemes)].sort((a, b) => distance(a) - distance(b))[0];
}

/** About two, three and four bits, as far as `schemes` has them. */
export function ladderOf(schemes: readonly SchemeId[]): readonly SchemeId[] {
  return [...new Set(LADDER_BITS.map((bits) => nearestScheme(schemes, bits)))];
}

/** The scheme of a model that is all low: about two bits. */
export function lowScheme(schemes: readonly SchemeId[]): SchemeId {
  return nearestScheme(schemes, LADDER_BITS[0]);
}
