/**
 * @file The special tokens that transformers gives a tokenizer: named in tokenizer_config.json, or in the older
 * special_tokens_map.json, or assumed by the tokenizer's class.
 */
import { isJsonObject, type JsonObject, type ModelFolder } from '../folder.js';
import { type AddedToken, addedToken, asAddedToken } from './added-tokens.js';
import type { TokenizerClass } from './tokenizer-class.js';

const roles = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'];

/** A special token by name only takes the flags that the vocabulary has for it; one with flags brings its own. */
export type SpecialToken = string | AddedToken;

export interface SpecialTokens {
  readonly all: readonly SpecialToken[];
  readonly bos: string | undefined;
  readonly eos: string | undefined;
  /** Added tokens that the configuration lists by id, in the order of ids. */
  readonly listed: readonly AddedToken[];
}

export function textOf(token: SpecialToken): string {
  return typeof token === 'string' ? token : token.content;
}

export async function readSpecialTokens(
  folder: ModelFolder,
  tokenizerJson: JsonObject,
  kind: TokenizerClass,
  signal?: AbortSignal,
): Promise<SpecialTokens> {
  const config = (await folder.json('tokenizer_config.json', signal)) ?? {};
  const hasDecoder = isJsonObject(config.added_tokens_decoder);
  const legacyMap = hasDecoder ? {} : ((await folder.json('special_tokens_map.json', signal)) ?? {});
  const settings: JsonObject = { ...kind.defaults, ...config, ...legacyMap };
  const listed = hasDecoder
    ? listedTokens(config.added_tokens_decoder as JsonObject)
    : await legacyTokens(folder, tokenizerJson, settings, signal);
  const known = new Map(listed.map((token) => [token.content, token]));

  const all = new Map<string, SpecialToken>();
  const collect = (value: unknown): void => {
    const token = specialToken(value, known);
    if (token !== undefined && !all.has(textOf(token))) all.set(textOf(token), token);
  };
  for (const role of roles) collect(settings[role]);
  const additional = settings.additional_special_tokens;
  if (Array.isArray(additional)) additional.forEach(collect);
  if (isJsonObject(settings.extra_special_tokens))
    Object.values(settings.extra_special_tokens).forEach(collect);
  const named = (role: string): string | undefined => asAddedToken(settings[role])?.content;
  return { all: [...all.values()], bos: named('bos_token'), eos: named('eos_token'), listed };
}

function specialToken(value: unknown, known: ReadonlyMap<string, AddedToken>): SpecialToken | undefined {
  const token = asAddedToken(value);
  if (token === undefined) return undefined;
  return known.get(token.content) ?? (typeof value === 'string' ? value : token);
}

function listedTokens(decoder: JsonObject): AddedToken[] {
  return Object.entries(decoder)
    .sort((a, b) => Number(a[0]) - Number(b[0]))
    .flatMap(([, token]) => asAddedToken(token) ?? []);
}

/** Before tokenizer_config.json listed them, added tokens stood in added_tokens.json and in tokenizer.json only. */
async function legacyTokens(
  folder: ModelFolder,
  tokenizerJson: JsonObject,
  settings: JsonObject,
  signal?: AbortSignal,
): Promise<AddedToken[]> {
  const byId = new Map<number, AddedToken>();
  const special = new Set(roles.map((role) => asAddedToken(settings[role])?.content));
  for (const [content, id] of Object.entries((await folder.json('added_tokens.json', signal)) ?? {})) {
    if (typeof id === 'number') byId.set(id, addedToken(content, { special: special.has(content) }));
  }
  const added = Array.isArray(tokenizerJson.added_tokens) ? tokenizerJson.added_tokens : [];
  for (const entry of added) {
    const token = asAddedToken(entry);
    if (token !== undefined && isJsonObject(entry) && typeof entry.id === 'number') byId.set(entry.id, token);
  }
  return [...byId].sort((a, b) => a[0] - b[0]).map(([, token]) => token);
}
