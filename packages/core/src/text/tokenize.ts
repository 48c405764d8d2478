/** @file The texts of a run as token chunks of one context, by the model's own vocabulary. */
import { BitsmithError } from '@bitsmith/formats';
import type { SourceModel } from '../model/types.js';
import type { RunContext } from '../run/context.js';
import { cutIntoChunks, type TokenChunks } from './chunks.js';
import type { Text } from './corpus.js';

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
  const count = Math.max(1, Math.min(text.chunks.length, Math.floor(limit / text.contextTokens)));
  return { ...text, chunks: text.chunks.slice(0, count) };
}
