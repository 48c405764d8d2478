/** @file Equalization as a user asks for it. */
import { BitsmithError } from '@bitsmith/formats';
import type { EqualizeMode } from './choose.js';
import type { EqualizedFor } from './output-error.js';
import { refuseBadAlpha } from './scales.js';

export interface EqualizeOptions {
  /**
   * Makes the channels of every input alike before anything is measured, in a copy that computes the same: an alpha from 0 (by the
   * weights) to 1 (by the activations), or `search` for the best of each input. Default: not.
   */
  readonly equalize?: string | number;
}

/** What scales are searched for where nothing says what the model will be rounded to. */
const FOUR_BITS: EqualizedFor = { scheme: 'affine4-g128', activations: false };

/** Null where nothing was asked for. @throws BitsmithError `ALPHA_INVALID`, `EQUALIZE_WITH_IMATRIX` */
export function parseEqualize(
  { equalize: asked, importanceMatrix }: EqualizeOptions & { readonly importanceMatrix?: string },
  rounding: EqualizedFor = FOUR_BITS,
): EqualizeMode | null {
  if (asked === undefined) return null;
  if (importanceMatrix !== undefined) throw besideImportance(importanceMatrix);
  if (asked === 'search') return { kind: 'search', rounding };
  const alpha = typeof asked === 'string' && asked.trim() === '' ? Number.NaN : Number(asked);
  refuseBadAlpha(alpha, String(asked));
  return { kind: 'alpha', alpha };
}

function besideImportance(file: string): BitsmithError {
  return new BitsmithError(
    'equalization',
    'EQUALIZE_WITH_IMATRIX',
    `expected an importance matrix that is measured on the equalized model, found --imatrix ${file}`,
    { suggestion: 'Leave out --imatrix or --equalize: scales change what the matrix was measured on.' },
  );
}
