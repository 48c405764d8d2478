/** @file Equalization as a user asks for it: the word read, and what a plan is made within changed to the equalized model. */
import { BitsmithError } from '@bitsmith/formats';
import type { RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import type { TokenizedText } from '../text/tokenize.js';
import type { EqualizeMode } from '../transform/equalize/choose.js';
import { equalize } from '../transform/equalize/equalize.js';
import type { Rounding } from '../transform/equalize/output-error.js';
import { refuseBadAlpha } from '../transform/equalize/scales.js';
import { type AskedFrame, type Frame, frameOf, type FrameOptions } from './plan-frame.js';

export interface EqualizeOptions {
  /**
   * Makes the channels of every input alike before anything is measured, in a copy that computes the same: an alpha from 0 (by the
   * weights) to 1 (by the activations), or `search` for the best of each input. Default: not.
   */
  readonly equalize?: string | number;
}

/** What scales are searched for where nothing says what the model will be rounded to. */
const FOUR_BITS: Rounding = { scheme: 'affine4-g128', activations: false };

/** Null where nothing was asked for. @throws BitsmithError `ALPHA_INVALID`, `EQUALIZE_WITH_IMATRIX` */
export function parseEqualize(
  { equalize: asked, importanceMatrix }: EqualizeOptions & Pick<FrameOptions, 'importanceMatrix'>,
  rounding: Rounding = FOUR_BITS,
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

/** The frame of the equalized model, where that was asked for. */
export async function* equalizedFrame(
  run: RunContext,
  frame: Frame,
  text: TokenizedText,
  options: FrameOptions,
  asked: AskedFrame,
): Work<Frame> {
  const mode = parseEqualize(options);
  if (mode === null) return frame;
  const { model, equalization } = yield* equalize(run, frame.model, text, mode);
  return { ...(await frameOf(model, frame.corpus, options, asked)), equalization };
}
