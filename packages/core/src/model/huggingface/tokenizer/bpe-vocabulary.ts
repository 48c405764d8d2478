/** @file The vocabulary of a byte-level BPE `tokenizer.json`. */
import { BitsmithError } from '@bitsmith/formats';
import type { AutoTokenizer } from './auto-tokenizer.js';
import { decodeAddedToken } from './decode-token.js';
import { looksSpecial, tokenTypes, withSpaces } from './token-type.js';
import type { Vocabulary } from './vocabulary.js';

/**
 * @param size rows of the model's embedding; ids without a token become unused `[PADn]`.
 * @throws BitsmithError `TOKENIZER_RANGE` when a token's id lies outside the embedding.
 */
export function bpeVocabulary(tokenizer: AutoTokenizer, size: number, preTokenizer: string): Vocabulary {
  const byId = tokensById(tokenizer);
  for (const [id, text] of byId) if (id >= size) throw rangeError(text, id, size);
  const tokens: string[] = [];
  const types: number[] = [];
  for (let id = 0; id < size; id += 1) {
    const text = byId.get(id);
    const { token, type } =
      text === undefined ? { token: `[PAD${id}]`, type: tokenTypes.unused } : describe(tokenizer, id, text);
    tokens.push(token);
    types.push(type);
  }
  return { model: 'gpt2', preTokenizer, tokens, types };
}

function tokensById(tokenizer: AutoTokenizer): Map<number, string> {
  const byId = new Map<number, string>();
  for (const [text, id] of tokenizer.base) byId.set(id, text);
  for (const [id, token] of tokenizer.added.entries()) byId.set(id, token.content);
  return byId;
}

function describe(tokenizer: AutoTokenizer, id: number, text: string): { token: string; type: number } {
  const added = tokenizer.added.get(id);
  if (added === undefined) return { token: text, type: tokenTypes.normal };
  const stored = added.normalized
    ? text
    : decodeAddedToken(text, tokenizer.json.decoder, tokenizer.cleansSpaces);
  if (added.special || looksSpecial(stored)) return { token: stored, type: tokenTypes.control };
  return { token: withSpaces(stored), type: tokenTypes.userDefined };
}

function rangeError(text: string, id: number, size: number): BitsmithError {
  return new BitsmithError(
    'validation',
    'TOKENIZER_RANGE',
    `the token ${JSON.stringify(text)} has the id ${id}`,
    {
      expected: `ids below the vocabulary size ${size} of config.json`,
      found: String(id),
      suggestion: "The tokenizer belongs to another model: restore the model's own tokenizer files.",
    },
  );
}
