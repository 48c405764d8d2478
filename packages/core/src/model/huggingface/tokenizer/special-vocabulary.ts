/**
 * @file Which tokens begin and end a text, stand for the unknown and pad, whether they are added by themselves, the merges and the chat
 * template: what tokenizer.json, tokenizer_config.json and config.json say together. The order of the keys follows the order of
 * discovery, as in gguf-py's `SpecialVocab` (llama.cpp v0.4.0).
 */
import { isJsonObject, type JsonObject, type ModelFolder } from '../folder.js';
import type { MetadataBuilder } from '../metadata-builder.js';
import { type ChatTemplate, readChatTemplate, writeChatTemplate } from './chat-template.js';
import { readMerges } from './merges.js';
import { templateRoles } from './template-roles.js';

/** Roles that a special token can have, in the order in which they are looked for. */
const standardRoles = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask'];

const idKeys: Readonly<Record<string, string>> = {
  bos: 'bos_token_id',
  eos: 'eos_token_id',
  unk: 'unknown_token_id',
  sep: 'seperator_token_id',
  pad: 'padding_token_id',
  mask: 'mask_token_id',
  eot: 'eot_token_id',
  eom: 'eom_token_id',
};

const addKeys: Readonly<Record<string, string>> = {
  bos: 'add_bos_token',
  eos: 'add_eos_token',
  sep: 'add_sep_token',
};

export interface SpecialVocabularyOptions {
  readonly loadMerges?: boolean;
  /** Ids from here on are left out. */
  readonly vocabularySize?: number;
  readonly roles?: readonly string[];
  /** Ids that hold where the folder names none. */
  readonly fallbackIds?: Readonly<Record<string, number>>;
}

export interface SpecialVocabulary {
  readonly merges: readonly string[];
  readonly ids: ReadonlyMap<string, number>;
  readonly adds: ReadonlyMap<string, boolean>;
  readonly chatTemplate: ChatTemplate | undefined;
  readonly lowercase: boolean | undefined;
  readonly stripAccents: boolean | undefined;
}

export async function readSpecialVocabulary(
  folder: ModelFolder,
  options: SpecialVocabularyOptions = {},
  signal?: AbortSignal,
): Promise<SpecialVocabulary> {
  const tokenizer = await folder.json('tokenizer.json', signal);
  const file = await folder.json('tokenizer_config.json', signal);
  const given = file === undefined || Object.keys(file).length === 0 ? undefined : file;
  const ids = new Map<string, number>();
  const adds = new Map<string, boolean>();
  const found = templateRoles(tokenizer, given, options.roles ?? standardRoles);
  for (const [role, value] of found.adds) adds.set(role, value);
  if (found.config !== undefined) {
    collectFromTokenizerConfig(found.config, tokenizer, found.roles, ids, adds, options.vocabularySize);
  }
  const config = (await folder.json('config.json', signal)) ?? {};
  collectFromModelConfig(config, found.roles, ids, options.vocabularySize);
  for (const [role, id] of Object.entries(options.fallbackIds ?? {}))
    setId(ids, role, id, options.vocabularySize);
  return {
    merges: options.loadMerges === true ? await readMerges(folder, tokenizer, signal) : [],
    ids,
    adds,
    chatTemplate: given === undefined ? undefined : await readChatTemplate(folder, given, signal),
    ...normalizerFlags(tokenizer?.normalizer),
  };
}

export function writeSpecialVocabulary(metadata: MetadataBuilder, special: SpecialVocabulary): void {
  metadata.stringArray('tokenizer.ggml.merges', special.merges);
  for (const [role, id] of special.ids) {
    if (Object.hasOwn(idKeys, role)) metadata.uint32(`tokenizer.ggml.${idKeys[role]}`, id);
  }
  for (const [role, value] of special.adds) {
    if (Object.hasOwn(addKeys, role)) metadata.bool(`tokenizer.ggml.${addKeys[role]}`, value);
  }
  if (special.chatTemplate !== undefined) writeChatTemplate(metadata, special.chatTemplate);
  if (special.lowercase !== undefined) {
    metadata.bool('tokenizer.ggml.normalizer.lowercase', special.lowercase);
  }
  if (special.stripAccents !== undefined) {
    metadata.bool('tokenizer.ggml.normalizer.strip_accents', special.stripAccents);
  }
}

function collectFromTokenizerConfig(
  config: JsonObject,
  tokenizer: JsonObject | undefined,
  roles: readonly string[],
  ids: Map<string, number>,
  adds: Map<string, boolean>,
  size: number | undefined,
): void {
  const added = Array.isArray(tokenizer?.added_tokens) ? tokenizer.added_tokens.filter(isJsonObject) : [];
  for (const role of roles) {
    const adding = config[`add_${role}_token`];
    if (typeof adding === 'boolean') adds.set(role, adding);
    const entry = config[`${role}_token`];
    const content = isJsonObject(entry) ? entry.content : entry;
    if (typeof content !== 'string') continue;
    setId(ids, role, added.find((token) => token.content === content)?.id, size);
  }
}

function collectFromModelConfig(
  config: JsonObject,
  roles: readonly string[],
  ids: Map<string, number>,
  size: number | undefined,
): void {
  const text = isJsonObject(config.text_config) ? config.text_config : {};
  for (const role of roles) setId(ids, role, config[`${role}_token_id`] ?? text[`${role}_token_id`], size);
}

/** The first id found for a role stays. A list of ids, or a negative one, names none. */
function setId(ids: Map<string, number>, role: string, id: unknown, size: number | undefined): void {
  if (typeof id !== 'number' || !Number.isInteger(id) || id < 0) return;
  if ((size === undefined || id < size) && !ids.has(role)) ids.set(role, id);
}

function normalizerFlags(normalizer: unknown): Pick<SpecialVocabulary, 'lowercase' | 'stripAccents'> {
  if (!isJsonObject(normalizer)) return { lowercase: undefined, stripAccents: undefined };
  switch (normalizer.type) {
    case 'Lowercase':
      return { lowercase: true, stripAccents: undefined };
    case 'StripAccents':
      return { lowercase: undefined, stripAccents: true };
    case 'BertNormalizer':
      return {
        lowercase: booleanOf(normalizer.lowercase),
        stripAccents: booleanOf(normalizer.strip_accents),
      };
    case 'Sequence': {
      const steps = Array.isArray(normalizer.normalizers) ? normalizer.normalizers.map(normalizerFlags) : [];
      return {
        lowercase: steps.findLast((step) => step.lowercase !== undefined)?.lowercase,
        stripAccents: steps.findLast((step) => step.stripAccents !== undefined)?.stripAccents,
      };
    }
    default:
      return { lowercase: undefined, stripAccents: undefined };
  }
}

function booleanOf(value: unknown): boolean | undefined {
  return typeof value === 'boolean' ? value : undefined;
}
