/** @file The texts of a run as token chunks of one context, by the model's own vocabulary. */
import { BitsmithError } from '@bitsmith/formats';
import type { SourceModel } from '../model/types.js';
import type { RunContext } from '../run/context.js';
import { sha256 } from '../io/hash.js';
import { cutIntoChunks, type TokenChunks } from './chunks.js';
import type { Text } from './corpus.js';
import { spreadOrder } from './spread-order.js';

/** A text ready to run: whole chunks, with what a task key needs. */
export interface TokenizedText extends TokenChunks {
  readonly name: string;
  readonly sha256: string;
  /** Tokens of the whole text, whole chunks or not. */
  readonly tokens: number;
}

/** Contexts longer than this cost more than they tell; a user can ask for another with `contextTokens`. */
const DEFAULT_CONTEXT = 512;

/**
 * Tokenizes texts and cuts them into chunks of `contextTokens` (default: 512, or the model's own context if shorter).
 * @throws BitsmithError `CONTEXT_INVALID`, `TEXT_TOO_SHORT`
 */
export async function tokenizeTexts(
  run: RunContext,
  model: SourceModel,
  texts: readonly Text[],
  contextTokens?: number,
): Promise<TokenizedText[]> {
  const answer = await run.engine.run(
    'tokenize',
    { ggufPath: model.ggufPath, texts: texts.map((text) => text.content) },
    { signal: run.signal },
  );
  const context = contextTokens ?? Math.min(DEFAULT_CONTEXT, answer.trainedContext);
  if (!Number.isInteger(context) || context < 16 || context > answer.trainedContext) {
    throw new BitsmithError(
      'arguments',
      'CONTEXT_INVALID',
      `expected a context of 16 to ${answer.trainedContext} tokens (the model's own), found ${context}`,
    );
  }
  return texts.map((text, index) => {
    const tokens = answer.tokens[index];
    const cut = cutIntoChunks(tokens, { contextTokens: context, bos: answer.bos, name: text.name });
    return { ...cut, name: text.name, sha256: text.sha256, tokens: tokens.length };
  });
}

/** The first `limit` tokens of a text, in whole chunks, at least one. */
export function firstChunks(text: TokenizedText, limit: number): TokenizedText {
  return { ...text, chunks: text.chunks.slice(0, chunkCount(text, limit)) };
}

/**
 * About `limit` tokens of a text, in whole chunks spread over all of it, at least one: a text begins with one subject and goes on to
 * others, and what is measured should know them all.
 */
export function spreadChunks(text: TokenizedText, limit: number): TokenizedText {
  return spreadSamples(text, chunkCount(text, limit));
}

/** Tokens that a text has in whole chunks. */
export function tokensOf({ chunks, contextTokens }: TokenizedText): number {
  return chunks.length * contextTokens;
}

/**
 * `samples` chunks spread over the text.
 * @throws BitsmithError `SAMPLES_TOO_MANY` where the text has fewer
 */
export function spreadSamples(text: TokenizedText, samples: number): TokenizedText {
  const { chunks } = text;
  refuseTooManySamples(samples, text);
  const chosen = spreadOrder(chunks.length).slice(0, samples);
  return { ...text, chunks: chosen.sort((a, b) => a - b).map((index) => chunks[index]) };
}

/** @throws BitsmithError `SAMPLES_TOO_MANY` */
export function refuseTooManySamples(samples: number, { chunks, contextTokens, name }: TokenizedText): void {
  if (Number.isInteger(samples) && samples >= 1 && samples <= chunks.length) return;
  throw new BitsmithError(
    'calibration-text',
    'SAMPLES_TOO_MANY',
    `expected 1 to ${chunks.length} samples (sequences of ${contextTokens} tokens in ${name}), found ${samples}`,
    { suggestion: 'Use fewer --samples, a shorter --chunk, or a longer text with --text FILE.' },
  );
}

function chunkCount({ chunks, contextTokens }: TokenizedText, limit: number): number {
  return Math.max(1, Math.min(chunks.length, Math.floor(limit / contextTokens)));
}

/** SHA-256 over the tokens themselves: two cuts of one text are two texts. */
export function tokensHash({ chunks }: Pick<TokenizedText, 'chunks'>): string {
  const bytes = chunks.map(({ buffer, byteOffset, byteLength }) =>
    Buffer.from(buffer, byteOffset, byteLength),
  );
  return sha256(Buffer.concat(bytes));
}
