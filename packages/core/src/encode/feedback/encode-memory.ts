/** @file Memory that encoding with feedback takes: the widest Gram matrix on its way to its factor, and what the lanes work on. */
import type { RoundingParameters } from './rounder.js';
import { SPAN } from './span.js';

/** Squares of the width, in floats: the matrix, what is taken off it, its factor, and the matrix that codes are checked by. */
const FACTORING = 1 + 1 + 0.5;
const KEPT = 0.5 + 1;
/** The next tensor's on its way while the last one's is still held. */
export const MATRICES_AT_ONCE = FACTORING + KEPT;
const FLOAT_BYTES = 4;
/** Copies of a slab that a lane holds at once: as stored, as floats, both codings, their bytes, targets, errors. */
const SLAB_COPIES = 8;
/** What threads and their code take besides. */
const LANE_BYTES = 12 * 2 ** 20;

/**
 * Bytes that are worked on at once. What was used and waits to be collected comes on top: with rows of 4,096 the process grew by three
 * and a half times as much (docs/benchmarks.md, Encoders).
 */
export function encodeMemory(
  { grams }: RoundingParameters,
  tensors: readonly { readonly name: string; readonly shape: readonly number[] }[],
  lanes: number,
  slabWeights: number,
): number {
  const widest = Math.max(0, ...tensors.filter(({ name }) => name in grams).map(({ shape }) => shape[0]));
  const metrics = 2 * widest * Math.min(widest, SPAN);
  const matrices = FLOAT_BYTES * (MATRICES_AT_ONCE * widest ** 2 + metrics);
  return matrices + lanes * (LANE_BYTES + SLAB_COPIES * FLOAT_BYTES * Math.max(slabWeights, widest));
}
