/**
 * @file The types with a kernel of our own. ggml's encoders search scales in scalar code; these do the same operations in the
 * same order for four things at a time (sub-blocks, steps of a search, neighbours, splits), so they are up to several times
 * faster and give the same bytes.
 */
import type { TensorType } from '@bitsmith/formats';
import { makeIq1M } from './iq1-m.js';
import { makeIq1S } from './iq1-s.js';
import { makeIq2S, makeIq2Xs, makeIq2Xxs, makeIq3S, makeIq3Xxs } from './iq2-iq3.js';
import { makeIq4Xs } from './iq4-xs.js';
import { makeQ2K, makeQ4K, makeQ5K } from './k-quants.js';
import type { Kernel } from './kernel.js';
import { makeQ3K, makeQ6K } from './q3-k-q6-k.js';
import { makeQ80 } from './q8-0.js';

type Makers = Partial<Record<TensorType, () => Kernel>>;

const withImportance: Makers = {
  Q2_K: makeQ2K,
  Q3_K: makeQ3K,
  Q4_K: makeQ4K,
  Q5_K: makeQ5K,
  Q6_K: makeQ6K,
  IQ1_S: makeIq1S,
  IQ1_M: () => makeIq1M('importance'),
  IQ2_XXS: makeIq2Xxs,
  IQ2_XS: makeIq2Xs,
  IQ2_S: () => makeIq2S('importance'),
  IQ3_XXS: () => makeIq3Xxs('importance'),
  IQ3_S: () => makeIq3S('importance'),
  IQ4_XS: makeIq4Xs,
  Q8_0: makeQ80,
};

const withoutImportance: Makers = {
  IQ1_M: () => makeIq1M('squares'),
  IQ2_S: () => makeIq2S('squares and mean'),
  IQ3_XXS: () => makeIq3Xxs('squares'),
  IQ3_S: () => makeIq3S('squares'),
  Q8_0: makeQ80,
};

/** @returns undefined for types without a kernel, and for those whose kernel needs importance weights where there are none */
export function makeKernel(type: TensorType, hasImportance: boolean): Kernel | undefined {
  return (hasImportance ? withImportance : withoutImportance)[type]?.();
}
