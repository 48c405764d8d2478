/**
 * @file The tokenizer that transformers makes of a folder: `tokenizer.json`, corrected by what the folder's other files and the
 * tokenizer's class say of added tokens, of a prefix space and of the tokens around a text. Encoding is done by
 * `@huggingface/tokenizers`, which is given the corrected JSON.
 */
import { BitsmithError } from '@bitsmith/formats';
import { Tokenizer } from '@huggingface/tokenizers';
import { isJsonObject, type JsonObject, type ModelFolder } from '../folder.js';
import { type AddedToken, AddedVocabulary, addedToken, asAddedToken, sameToken } from './added-tokens.js';
import { readSpecialTokens, type SpecialTokens, textOf } from './special-tokens.js';
import { tokenizerClass } from './tokenizer-class.js';

export interface AutoTokenizer {
  /** The trained vocabulary, without added tokens. */
  readonly base: ReadonlyMap<string, number>;
  readonly added: AddedVocabulary;
  readonly special: readonly string[];
  /** Whether decoding takes out the spaces before punctuation. */
  readonly cleansSpaces: boolean;
  /** `tokenizer.json` with every correction. */
  readonly json: JsonObject;
  /** Ids of a text, with the tokens around it. */
  encode(text: string): number[];
}

/** @throws BitsmithError `TOKENIZER_MISSING` or `TOKENIZER_UNSUPPORTED`. */
export async function loadAutoTokenizer(
  folder: ModelFolder,
  modelConfig: JsonObject,
  signal?: AbortSignal,
): Promise<AutoTokenizer> {
  const json = await folder.json('tokenizer.json', signal);
  if (json === undefined) throw missing(folder);
  const base = baseVocabulary(json);
  const config = (await folder.json('tokenizer_config.json', signal)) ?? {};
  const kind = tokenizerClass(config, modelConfig);
  const special = await readSpecialTokens(folder, json, kind, signal);
  const added = new AddedVocabulary(base);
  for (const token of Array.isArray(json.added_tokens) ? json.added_tokens : []) {
    const parsed = asAddedToken(token);
    if (parsed !== undefined) added.add(parsed);
  }
  reconcile(added, special);
  const corrected = {
    ...json,
    added_tokens: added.entries().map(([id, token]) => ({ id, ...token })),
    pre_tokenizer: withPrefixSpace(json.pre_tokenizer, config.add_prefix_space === true),
    post_processor: kind.framesText ? frame(config, special, added) : json.post_processor,
  };
  return {
    base,
    added,
    special: special.all.map(textOf),
    cleansSpaces: config.clean_up_tokenization_spaces === true,
    json: corrected,
    encode: (text) => encodeWith(corrected, text),
  };
}

function baseVocabulary(json: JsonObject): ReadonlyMap<string, number> {
  const model = isJsonObject(json.model) ? json.model : {};
  if (model.type === 'BPE' && isJsonObject(model.vocab)) {
    return new Map(
      Object.entries(model.vocab).filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
    );
  }
  throw unsupported(`a tokenizer.json with a ${JSON.stringify(model.type ?? null)} model`);
}

/** What tokenizer_config.json lists, and every special token, is added once more where it is new or differs. */
function reconcile(added: AddedVocabulary, special: SpecialTokens): void {
  const present = added.entries().map(([, token]) => token);
  const toAdd = special.listed.filter((token) => !present.some((other) => sameToken(token, other)));
  const names = new Set([...present, ...toAdd].map((token) => token.content));
  const extra: AddedToken[] = [];
  for (const token of special.all) {
    if (typeof token === 'string') {
      if (!names.has(token)) extra.push(addedToken(token, { special: true }));
    } else if (!toAdd.some((other) => sameToken(token, other))) {
      extra.push(token);
    }
  }
  const specialNames = new Set(special.all.map(textOf));
  for (const token of [...toAdd, ...extra]) {
    added.add({ ...token, special: token.special || specialNames.has(token.content) });
  }
}

/** A byte-level pre-tokenizer at the top follows tokenizer_config.json, whatever tokenizer.json says. */
function withPrefixSpace(preTokenizer: unknown, addPrefixSpace: boolean): unknown {
  const overridden = isJsonObject(preTokenizer) && Object.hasOwn(preTokenizer, 'add_prefix_space');
  return overridden ? { ...preTokenizer, add_prefix_space: addPrefixSpace } : preTokenizer;
}

function frame(config: JsonObject, special: SpecialTokens, added: AddedVocabulary): JsonObject {
  const opens = Object.hasOwn(config, 'add_bos_token') ? config.add_bos_token === true : true;
  const first = opens ? special.bos : undefined;
  const last = config.add_eos_token === true ? special.eos : undefined;
  const tokens = [first, last].filter((token) => token !== undefined);
  const around = (sequence: string): JsonObject[] => [
    ...(first === undefined ? [] : [specialPiece(first)]),
    { Sequence: { id: sequence, type_id: 0 } },
    ...(last === undefined ? [] : [specialPiece(last)]),
  ];
  return {
    type: 'TemplateProcessing',
    single: around('A'),
    pair: [...around('A'), ...around('B')],
    special_tokens: Object.fromEntries(
      tokens.map((token) => [token, { id: token, ids: [added.idOf(token)], tokens: [token] }]),
    ),
  };
}

function specialPiece(token: string): JsonObject {
  return { SpecialToken: { id: token, type_id: 0 } };
}

function encodeWith(json: JsonObject, text: string): number[] {
  try {
    return new Tokenizer(json, {}).encode(text).ids;
  } catch (cause) {
    throw unsupported('a tokenizer.json that cannot be run', cause);
  }
}

function missing(folder: ModelFolder): BitsmithError {
  return new BitsmithError(
    'model-not-found',
    'TOKENIZER_MISSING',
    `the folder ${folder.name} has no tokenizer`,
    {
      expected: 'tokenizer.json (byte-level BPE) or tokenizer.model (SentencePiece)',
      found: 'neither',
      suggestion: "Copy the tokenizer files of the model's original into the folder.",
    },
  );
}

function unsupported(found: string, cause?: unknown): BitsmithError {
  return new BitsmithError(
    'unsupported',
    'TOKENIZER_UNSUPPORTED',
    `this tokenizer cannot be converted: found ${found}`,
    {
      expected: 'a BPE tokenizer.json, or a SentencePiece tokenizer.model',
      found,
      suggestion: 'Convert the model with a tool that knows its tokenizer, and give the GGUF.',
      cause,
    },
  );
}
