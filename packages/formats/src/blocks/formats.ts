/** @file Which of ggml's types are linear, and how their blocks are opened. */
import type { TensorType } from '../gguf/tensor-types.js';
import { iq4Xs, q2K, q3K, q4K, q5K, q6K, tq20 } from './k-quants.js';
import { iq4Nl, q40, q41, q50, q51, q80 } from './legacy.js';
import type { BlockFormat } from './types.js';

const formats: Partial<Record<TensorType, BlockFormat>> = {
  Q4_0: q40,
  Q4_1: q41,
  Q5_0: q50,
  Q5_1: q51,
  Q8_0: q80,
  IQ4_NL: iq4Nl,
  Q2_K: q2K,
  Q3_K: q3K,
  Q4_K: q4K,
  Q5_K: q5K,
  Q6_K: q6K,
  IQ4_XS: iq4Xs,
  TQ2_0: tq20,
};

/** Null for floats and for types whose codes are entries of a codebook. */
export function blockFormat(type: TensorType): BlockFormat | null {
  return formats[type] ?? null;
}
