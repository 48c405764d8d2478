/** @file Text as token chunks of one context each, cut as llama.cpp's own tools cut them, so that numbers can be compared. */
import { BitsmithError } from '@bitsmith/formats';

/** Tokens of a text, cut in whole chunks; a rest shorter than a chunk is left out. */
export interface TokenChunks {
  readonly contextTokens: number;
  readonly chunks: readonly Int32Array[];
}

/**
 * Cuts tokens into chunks. Each chunk's first token is replaced by the beginning-of-sequence token where the
 * vocabulary asks for one, as `llama-imatrix` and `llama-perplexity` do.
 * @throws BitsmithError `TEXT_TOO_SHORT` when not even one chunk is there.
 */
export function cutIntoChunks(
  tokens: Int32Array,
  options: { contextTokens: number; limit?: number; bos: number | null; name: string },
): TokenChunks {
  const { contextTokens, limit, bos, name } = options;
  const available = Math.floor(tokens.length / contextTokens);
  if (available === 0) {
    throw new BitsmithError(
      'calibration-text',
      'TEXT_TOO_SHORT',
      `expected at least ${contextTokens} tokens (one context) in ${name}, found ${tokens.length}`,
      { suggestion: 'Name a longer text with --text FILE, or shorter chunks with --chunk N.' },
    );
  }
  const count = limit === undefined ? available : Math.min(available, limit);
  const chunks = Array.from({ length: count }, (_, index) => {
    const chunk = tokens.slice(index * contextTokens, (index + 1) * contextTokens);
    if (bos !== null) chunk[0] = bos;
    return chunk;
  });
  return { contextTokens, chunks };
}
