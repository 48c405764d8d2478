/** @file Memory that encoding with feedback takes: the widest Gram matrix on its way to its factor, and what the lanes work on. */
import { SPAN } from '../../gram/span.js';
import type { RoundingParameters } from '../../gram/rounding.js';
import { MATRICES_AT_ONCE } from '../../gram/gram-sizes.js';

/** Spans' metrics and feedback of both tensors, that by eights too, and a band on its way. */
const BANDS_AT_ONCE = 2 * 3 + 1;
const FLOAT_BYTES = 4;
/** Copies of a slab that a lane holds at once: as stored, as floats, both codings, their bytes, errors, and products of these. */
const SLAB_COPIES = 8;
/** What a lane's thread takes besides: code, and objects between two collections. */
const LANE_BYTES = 32 * 2 ** 20;

/**
 * Slabs that are worked on at once. With feedback one more than threads: rows go back and forth between products and solvers, and
 * while those of one lane are on their way, another's are computed.
 */
export function encodeLanes(rounding: RoundingParameters | null, threads: number): number {
  return rounding === null || threads === 1 ? threads : threads + 1;
}

/** Bytes that encoding takes on top of an engine that has nothing to do. */
export function encodeMemory(
  rounding: RoundingParameters,
  tensors: readonly { readonly name: string; readonly shape: readonly number[] }[],
  threads: number,
  slabWeights: number,
): number {
  const { grams } = rounding;
  const lanes = encodeLanes(rounding, threads);
  const widest = Math.max(0, ...tensors.filter(({ name }) => name in grams).map(({ shape }) => shape[0]));
  const bands = BANDS_AT_ONCE * widest * Math.min(widest, SPAN);
  const matrices = FLOAT_BYTES * (MATRICES_AT_ONCE * widest ** 2 + bands);
  return matrices + lanes * (LANE_BYTES + SLAB_COPIES * FLOAT_BYTES * Math.max(slabWeights, widest));
}
