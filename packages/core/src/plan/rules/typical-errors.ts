/**
 * @file What schemes do to weights nobody looked at: the mean squared error on Gaussian weights, as a share of their mean
 * square, encoded with equal importance. Measured once on 131,072 weights in rows of 2,048 (affine: 32,768), where it is known
 * to a few percent; a model's own weights differ, and what matters in them differs more.
 */
import { affineSpec } from '../affine-schemes.js';
import type { GgufSchemeId } from '../schemes.js';

const gguf: Readonly<Record<GgufSchemeId, number>> = {
  Q1_0: 0.361,
  IQ1_S: 0.235,
  TQ1_0: 0.189,
  IQ1_M: 0.204,
  IQ2_XXS: 0.118,
  TQ2_0: 0.189,
  Q2_0: 0.517,
  IQ2_XS: 0.0898,
  IQ2_S: 0.0618,
  Q2_K: 0.0718,
  IQ3_XXS: 0.0331,
  IQ3_S: 0.0187,
  Q3_K: 0.0209,
  IQ4_XS: 0.00574,
  MXFP4: 0.0133,
  IQ4_NL: 0.00564,
  NVFP4: 0.00906,
  Q4_0: 0.00667,
  Q4_K: 0.00505,
  Q4_1: 0.00492,
  Q5_0: 0.00164,
  Q5_K: 0.00126,
  Q5_1: 0.00115,
  Q6_K: 0.000301,
  Q8_0: 0.0000288,
  BF16: 0.00000278,
  F16: 0.0000000431,
  F32: 0,
};

/** Groups of 64, by bits. */
const affine: Readonly<Record<number, number>> = {
  2: 0.206,
  3: 0.0377,
  4: 0.00816,
  5: 0.00192,
  6: 0.000466,
  8: 0.0000282,
};
/** Against groups of 64: a longer group has a wider range. */
const groupFactor: Readonly<Record<number | 'row', number>> = {
  16: 0.59,
  32: 0.79,
  64: 1,
  128: 1.22,
  256: 1.43,
  row: 2.08,
};

/** Mean squared error of a scheme on Gaussian weights / their mean square; undefined for what is no scheme. */
export function typicalError(scheme: string): number | undefined {
  const spec = affineSpec(scheme);
  if (spec === undefined) return Object.hasOwn(gguf, scheme) ? gguf[scheme as GgufSchemeId] : undefined;
  const ofGroup = groupFactor[spec.groupSize];
  // Codes around zero have half a code less of range to a side.
  return spec.symmetry === 'symmetric' ? affine[spec.bits] * ofGroup * 1.14 : affine[spec.bits] * ofGroup;
}
