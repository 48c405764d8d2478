/** @file Which type a converted tensor is stored in. */
import type { SourceTensor } from './source-tensors.js';

/** Types that a conversion can write its matrices in. */
export type OutputType = 'F32' | 'F16' | 'BF16';

/** llama.cpp's number for a file whose matrices have a type. */
export const fileTypes: Readonly<Record<OutputType, number>> = { F32: 0, F16: 1, BF16: 32 };

/**
 * The type of the first half-precision matrix; F16 where there is none. The configuration is not asked: its word on the type is
 * often wrong after a fine-tune.
 */
export function guessOutputType(tensors: readonly SourceTensor[]): OutputType {
  for (const { dtype, shape } of tensors) {
    if (shape.length >= 2 && (dtype === 'BF16' || dtype === 'F16')) return dtype;
  }
  return 'F16';
}

/** Vectors, norms and everything that is not a weight stay in float32. */
export function outputTypeOf(name: string, axes: number, matrices: OutputType): OutputType {
  return axes <= 1 || name.endsWith('_norm.weight') || !name.endsWith('.weight') ? 'F32' : matrices;
}
