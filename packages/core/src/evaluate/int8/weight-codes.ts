/** @file Weights as the codes that the scheme `int8` stores: whole numbers of 8 bits around zero, and a float scale each row. */
import { type AffineSpec, encodeAffine } from '@bitsmith/formats';
import type { WeightArray } from '../../transformer/weights.js';
import { affineSpec } from '../../plan/affine-schemes.js';

/** What an affine code of 8 bits around zero has in the middle. */
const ZERO = 128;

/**
 * Puts codes in the place of weights; they are floats again, since floats are what they are multiplied with.
 * @param importance of the columns, as encoders get it; null for none
 * @param scales gets one a row
 */
export function encodeWeights(
  { shape: [rowLength, rows], values }: WeightArray,
  importance: Float32Array | null,
  scales: Float32Array,
): void {
  const used = values.subarray(0, rows * rowLength);
  const input = { values: used, rows, rowLength, importance: importance ?? undefined };
  const encoded = encodeAffine(input, affineSpec('int8') as AffineSpec);
  encoded.data.forEach((code, at) => (used[at] = code - ZERO));
  scales.set(encoded.scales as Float32Array);
}
