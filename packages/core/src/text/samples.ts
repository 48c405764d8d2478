/** @file How many sequences of a text a measurement takes. */
import { BitsmithError } from '@bitsmith/formats';
import type { TokenizedText } from './tokenize.js';

/**
 * The first `samples` sequences of a text.
 * @throws BitsmithError `SAMPLES_TOO_MANY` where the text has fewer
 */
export function firstSamples(text: TokenizedText, samples: number): TokenizedText {
  const { chunks, contextTokens, name } = text;
  if (Number.isInteger(samples) && samples >= 1 && samples <= chunks.length) {
    return { ...text, chunks: chunks.slice(0, samples) };
  }
  throw new BitsmithError(
    'calibration-text',
    'SAMPLES_TOO_MANY',
    `expected 1 to ${chunks.length} samples (sequences of ${contextTokens} tokens in ${name}), found ${samples}`,
    { suggestion: 'Use fewer --samples, a shorter --context, or a longer text with --text FILE.' },
  );
}
