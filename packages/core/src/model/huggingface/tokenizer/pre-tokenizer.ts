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

export interface PreTokenizer {
  /** The value of `tokenizer.ggml.pre`. */
  readonly name: string;
  /** Whether the vocabulary itself is known, not only its pattern. */
  readonly published: boolean;
}

/** @throws BitsmithError `TOKENIZER_UNRECOGNISED` */
export function preTokenizerOf(tokenizer: AutoTokenizer): PreTokenizer {
  const hash = probeHash(tokenizer.encode(PROBE_TEXT));
  const known = preTokenizersByHash.get(hash);
  if (known !== undefined) return { name: known, published: true };
  const name = preTokenizerByPattern(tokenizer.json);
  if (name === undefined) throw unrecognised(tokenizer.json, hash);
  return { name, published: false };
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

/**
 * llama.cpp's names for the same splits: one that follows the merges, and one that first looks whole pieces up in the vocabulary
 * (`ignore_merges`). Each name stands for one of the two.
 */
interface PatternNames {
  readonly merging?: string;
  readonly lookingUp?: string;
}

/** Patterns of a `Split` that stands before a `ByteLevel`. */
const splitPatterns: ReadonlyMap<string, PatternNames> = new Map([
  [
    `${CONTRACTION}|${LEAD}\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${REST}`,
    { merging: 'smaug-bpe', lookingUp: 'llama-bpe' },
  ],
  [`${CONTRACTION}|${LEAD}\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${REST}`, { merging: 'qwen2' }],
  [
    `${LEAD}${UPPER}*${LOWER}+${CONTRACTION}?|${LEAD}${UPPER}+${LOWER}*${CONTRACTION}?` +
      `|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${REST}`,
    { merging: 'gpt-4o' },
  ],
  [
    `${LEAD}${UPPER}*${LOWER}+|${LEAD}${UPPER}+${LOWER}*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${REST}`,
    { lookingUp: 'tekken' },
  ],
]);
const byteLevel: PatternNames = { merging: 'gpt-2' };
const digitsThenByteLevel: PatternNames = { merging: 'smollm' };

/** Names under which llama.cpp adds a BOS token unless it is told not to. */
const assumeBos = new Set(['llama-bpe', 'tekken']);

/** Whether `add_bos_token` must be written even where the folder is silent, since the name alone would turn it on. */
export function mustDenyBos({ name, published }: PreTokenizer): boolean {
  return !published && assumeBos.has(name);
}

export function preTokenizerByPattern(tokenizerJson: JsonObject): string | undefined {
  const model = isJsonObject(tokenizerJson.model) ? tokenizerJson.model : {};
  const names = patternNames(preTokenizerSteps(tokenizerJson.pre_tokenizer));
  return model.ignore_merges === true ? names?.lookingUp : names?.merging;
}

function patternNames(steps: readonly JsonObject[]): PatternNames | undefined {
  const last = steps.at(-1);
  if (last?.type !== 'ByteLevel' || last.add_prefix_space === true) return undefined;
  const splitsItself = last.use_regex !== false;
  if (steps.length === 1) return splitsItself ? byteLevel : undefined;
  if (steps.length !== 2) return undefined;
  const [first] = steps;
  if (first.type === 'Digits' && first.individual_digits === true && splitsItself) return digitsThenByteLevel;
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

const patternNameList = [byteLevel, digitsThenByteLevel, ...splitPatterns.values()].flatMap(
  ({ merging, lookingUp }) => [merging, lookingUp].filter((name) => name !== undefined),
);

function unrecognised(tokenizerJson: JsonObject, hash: string): BitsmithError {
  const found = JSON.stringify(tokenizerJson.pre_tokenizer ?? null).slice(0, 400);
  return new BitsmithError(
    'unsupported',
    'TOKENIZER_UNRECOGNISED',
    `llama.cpp has no name for this tokenizer's pre-tokenizer (probe hash ${hash}): ${found}`,
    {
      expected: `a published vocabulary, or the pre-tokenizer of ${patternNameList.join(', ')}`,
      found,
      suggestion: 'Convert the model with a tool that knows its tokenizer, and give the GGUF.',
    },
  );
}
