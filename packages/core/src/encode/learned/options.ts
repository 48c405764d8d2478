/** @file How long rounding is learned, and from how much. */
import { BitsmithError } from '@bitsmith/formats';

export interface LearnedOptions {
  /** Steps a block; default 200. */
  readonly steps?: number;
  /** What the first step moves every weight by, in codes; it falls to nothing. Default 1 / steps: half a code in all. */
  readonly rate?: number;
  /** Sequences of the text, of which every fourth is judged by, sixteen at the most, and the others are learned from; default 128. */
  readonly samples?: number;
  /** Sequences a step; default 4. */
  readonly batch?: number;
}

export type LearnedSettings = Required<LearnedOptions>;

/** @throws BitsmithError `LEARNED_INVALID` */
export function learnedSettings(options: LearnedOptions = {}): LearnedSettings {
  const { steps = 200, samples = 128, batch = 4 } = options;
  for (const [name, value] of Object.entries({ steps, samples, batch }))
    if (!Number.isSafeInteger(value) || value < 1) throw invalid(name, 'a whole number of at least 1', value);
  const { rate = 1 / steps } = options;
  if (!(rate > 0 && rate <= 1)) throw invalid('rate', 'a number above 0 and up to 1', rate);
  return { steps, rate, samples, batch };
}

function invalid(name: string, expected: string, found: unknown): BitsmithError {
  return new BitsmithError(
    'arguments',
    'LEARNED_INVALID',
    `expected ${expected} as the ${name} of learned rounding, found ${String(found)}`,
  );
}
