/**
 * @file The vocabulary of a SentencePiece-like BPE that is only there as `tokenizer.json` (with byte fallback): stored as a
 * SentencePiece vocabulary without scores.
 */
import { BitsmithError } from '@bitsmith/formats';
import { isJsonObject, type JsonObject } from '../folder.js';
import type { AutoTokenizer } from './auto-tokenizer.js';
import { tokenTypes } from './token-type.js';
import type { Vocabulary } from './vocabulary.js';

const SCORE = -1000;
const BYTE = /^<0x[0-9A-Fa-f]{2}>$/;

/** Whether a tokenizer.json is of this kind, rather than byte-level BPE. */
export function isLlamaTokenizer(tokenizerJson: JsonObject): boolean {
  const model = isJsonObject(tokenizerJson.model) ? tokenizerJson.model : {};
  const decoder = isJsonObject(tokenizerJson.decoder) ? tokenizerJson.decoder : {};
  return model.type === 'BPE' && model.byte_fallback === true && decoder.type === 'Sequence';
}

/** @throws BitsmithError `TOKENIZER_RANGE` when an id has no token. */
export function llamaVocabulary(tokenizer: AutoTokenizer): Vocabulary {
  const texts = new Map<number, string>();
  for (const [text, id] of tokenizer.base) texts.set(id, text);
  for (const [id, token] of tokenizer.added.entries()) texts.set(id, token.content);
  const special = new Set(tokenizer.special);
  const tokens: string[] = [];
  const types: number[] = [];
  for (let id = 0; id < tokenizer.base.size; id += 1) {
    const text = texts.get(id);
    if (text === undefined) throw holeError(id);
    tokens.push(text);
    if (BYTE.test(text)) types.push(tokenTypes.byte);
    else types.push(special.has(text) ? tokenTypes.control : tokenTypes.normal);
  }
  for (const [id, { content }] of tokenizer.added.entries()) {
    if (id < tokenizer.base.size) continue;
    tokens.push(content);
    types.push(special.has(content) ? tokenTypes.control : tokenTypes.userDefined);
  }
  return { model: 'llama', preTokenizer: 'default', tokens, types, scores: tokens.map(() => SCORE) };
}

function holeError(id: number): BitsmithError {
  return new BitsmithError('validation', 'TOKENIZER_RANGE', `tokenizer.json has no token with the id ${id}`, {
    expected: 'ids without a gap',
    found: `no token ${id}`,
    suggestion: "Restore the model's tokenizer.json.",
  });
}
