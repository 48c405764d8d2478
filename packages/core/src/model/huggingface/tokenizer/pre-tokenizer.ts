/**
 * @file Names the pre-tokenizer of a byte-level BPE vocabulary. First as llama.cpp's converter does, by the hash of the ids of a
 * probe text: exact, but known only for published vocabularies. A vocabulary trained afresh has no known hash; its
 * pre-tokenizer is then recognised by what `tokenizer.json` says of it, where llama.cpp splits by the same pattern.
 */
import { createHash } from 'node:crypto';
import { BitsmithError } from '@bitsmith/formats';
import { isJsonObject, type JsonObject } from '../folder.js';
import type { AutoTokenizer } from './auto-tokenizer.js';
import { PROBE_TEXT, preTokenizersByHash } from './pre-tokenizer-hashes.js';

/** @throws BitsmithError `TOKENIZER_UNRECOGNISED` */
export function preTokenizerName(tokenizer: AutoTokenizer): string {
  const hash = probeHash(tokenizer.encode(PROBE_TEXT));
  const name = preTokenizersByHash.get(hash) ?? preTokenizerByPattern(tokenizer.json);
  if (name === undefined) throw unrecognised(tokenizer.json, hash);
  return name;
}

export function probeHash(ids: readonly number[]): string {
  return createHash('sha256')
    .update(`[${ids.join(', ')}]`)
    .digest('hex');
}

const CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const REST = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const LEAD = '[^\\r\\n\\p{L}\\p{N}]?';

/** Patterns of a `Split` that stands before a `ByteLevel`, and llama.cpp's name for the same splits. */
const splitPatterns: ReadonlyMap<string, string> = new Map([
  [`${CONTRACTION}|${LEAD}\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${REST}`, 'llama-bpe'],
  [`${CONTRACTION}|${LEAD}\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${REST}`, 'qwen2'],
  [
    `${LEAD}${UPPER}*${LOWER}+${CONTRACTION}?|${LEAD}${UPPER}+${LOWER}*${CONTRACTION}?` +
      `|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${REST}`,
    'gpt-4o',
  ],
  [
    `${LEAD}${UPPER}*${LOWER}+|${LEAD}${UPPER}+${LOWER}*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${REST}`,
    'tekken',
  ],
]);

export function preTokenizerByPattern(tokenizerJson: JsonObject): string | undefined {
  const steps = preTokenizerSteps(tokenizerJson.pre_tokenizer);
  const last = steps.at(-1);
  if (last?.type !== 'ByteLevel' || last.add_prefix_space === true) return undefined;
  const splitsItself = last.use_regex !== false;
  if (steps.length === 1) return splitsItself ? 'gpt-2' : undefined;
  if (steps.length !== 2) return undefined;
  const [first] = steps;
  if (first.type === 'Digits' && first.individual_digits === true && splitsItself) return 'smollm';
  if (first.type !== 'Split' || splitsItself || !isolates(first)) return undefined;
  const pattern = isJsonObject(first.pattern) ? first.pattern.Regex : undefined;
  return typeof pattern === 'string' ? splitPatterns.get(pattern) : undefined;
}

function preTokenizerSteps(preTokenizer: unknown): JsonObject[] {
  if (!isJsonObject(preTokenizer)) return [];
  if (preTokenizer.type !== 'Sequence') return [preTokenizer];
  return Array.isArray(preTokenizer.pretokenizers) ? preTokenizer.pretokenizers.filter(isJsonObject) : [];
}

/** Keeping every match, or removing what lies between matches, is the same for patterns that leave nothing between. */
function isolates(split: JsonObject): boolean {
  return split.behavior === 'Isolated' || (split.behavior === 'Removed' && split.invert === true);
}

function unrecognised(tokenizerJson: JsonObject, hash: string): BitsmithError {
  const found = JSON.stringify(tokenizerJson.pre_tokenizer ?? null).slice(0, 400);
  return new BitsmithError(
    'unsupported',
    'TOKENIZER_UNRECOGNISED',
    `llama.cpp has no name for this tokenizer's pre-tokenizer (probe hash ${hash}): ${found}`,
    {
      expected: `a published vocabulary, or the pre-tokenizer of ${[...new Set(['gpt-2', 'smollm', ...splitPatterns.values()])].join(', ')}`,
      found,
      suggestion: 'Convert the model with a tool that knows its tokenizer, and give the GGUF.',
    },
  );
}
