/**
 * @file The `general.*` keys: who made the model, on what it is based, how large it is. Taken, in this order, from the model card,
 * from `config.json` and from the folder's name, with the sampling advice of `generation_config.json`. Follows gguf-py's
 * `metadata.py` as of llama.cpp v0.4.0.
 */
import type { JsonObject } from '../folder.js';
import type { MetadataBuilder } from '../metadata-builder.js';
import { originOf, type Origin } from './origin.js';
import { idToTitle, modelIdParts } from './model-id.js';
import { sizeLabel } from './size-label.js';

export interface GeneralSources {
  readonly card: JsonObject;
  readonly config: JsonObject;
  readonly generation: JsonObject;
  readonly folderName: string;
  readonly parameterCount: number;
}

const textFields = [
  'name',
  'author',
  'version',
  'organization',
  'finetune',
  'basename',
  'description',
  'size_label',
  'license',
  'license.name',
  'license.link',
  'source.url',
  'source.doi',
  'source.uuid',
  'source.repo_url',
] as const;

type TextField = (typeof textFields)[number];
type TextFields = Partial<Record<TextField, unknown>>;

export function writeGeneral(metadata: MetadataBuilder, sources: GeneralSources): void {
  metadata.string('general.type', 'model');
  writeSampling(metadata, sources.generation);
  const fields = describe(sources);
  for (const field of textFields) {
    const value = fields[field];
    if (value !== undefined && value !== null) metadata.string(`general.${field}`, asText(value));
  }
  writeOrigins(metadata, 'base_model', sources, ['base_model', 'base_models', 'base_model_sources']);
  writeOrigins(metadata, 'dataset', sources, ['datasets', 'dataset', 'dataset_sources']);
  for (const [key, names] of [
    ['tags', ['tags', 'pipeline_tag']],
    ['languages', ['languages', 'language']],
  ] as const) {
    metadata.stringArray(`general.${key}`, names.flatMap((name) => items(sources.card[name])).map(asText));
  }
}

const samplingKeys = [
  ['sequence', 'string', ['sequence']],
  ['top_k', 'int32', ['top_k']],
  ['top_p', 'float32', ['top_p']],
  ['min_p', 'float32', ['min_p']],
  ['xtc_probability', 'float32', ['xtc_probability']],
  ['xtc_threshold', 'float32', ['xtc_threshold']],
  ['temp', 'float32', ['temperature']],
  ['penalty_last_n', 'int32', ['penalty_last_n']],
  ['penalty_repeat', 'float32', ['penalty_repeat', 'repetition_penalty']],
  ['mirostat', 'int32', ['mirostat']],
  ['mirostat_tau', 'float32', ['mirostat_tau']],
  ['mirostat_eta', 'float32', ['mirostat_eta']],
] as const;

function writeSampling(metadata: MetadataBuilder, generation: JsonObject): void {
  for (const [name, type, sources] of samplingKeys) {
    const source = sources.find((candidate) => Object.hasOwn(generation, candidate));
    const value = source === undefined ? undefined : generation[source];
    if (value === undefined || value === null) continue;
    const key = `general.sampling.${name}`;
    if (type === 'string') metadata.string(key, asText(value));
    else metadata[type](key, value);
  }
}

const cardSources: Readonly<Record<TextField, readonly string[]>> = {
  name: ['name', 'model_name'],
  author: ['author', 'model_author', 'model_creator'],
  version: ['version', 'model_version'],
  organization: ['organization', 'model_organization'],
  finetune: ['finetune', 'model_finetune'],
  basename: ['basename', 'model_basename', 'model_type'],
  description: ['description', 'model_description'],
  size_label: ['size_label', 'model_size_label'],
  'source.url': ['url', 'model_url'],
  'source.doi': ['doi', 'model_doi'],
  'source.uuid': ['uuid', 'model_uuid'],
  'source.repo_url': ['repo_url', 'model_repo_url'],
  license: ['license'],
  'license.name': ['license_name'],
  'license.link': ['license_link'],
};

function describe(sources: GeneralSources): TextFields {
  const { card, config, folderName, parameterCount } = sources;
  const fields: TextFields = {};
  for (const field of textFields) {
    fields[field] = cardSources[field]
      .map((key) => card[key])
      .find((value) => value !== undefined && value !== null);
  }
  const { _name_or_path: configured } = config;
  // More than one slash is a path on somebody's disk, not a name.
  if (typeof configured === 'string' && configured.split('/').length <= 2) {
    fillFromId(fields, configured, parameterCount);
  }
  fillFromId(fields, folderName, parameterCount);
  fields.name ??= folderName;
  if (parameterCount > 0) fields.size_label ??= sizeLabel(parameterCount);
  if (Array.isArray(fields.license)) fields.license = fields.license.map(asText).join(',');
  return fields;
}

function fillFromId(fields: TextFields, id: string, parameterCount: number): void {
  const parts = modelIdParts(id, parameterCount);
  if (parts.name !== undefined) fields.name ??= idToTitle(parts.name);
  if (parts.organization !== undefined) fields.organization ??= idToTitle(parts.organization);
  fields.basename ??= parts.basename;
  fields.finetune ??= parts.finetune;
  fields.version ??= parts.version;
  fields.size_label ??= parts.sizeLabel;
}

const originFields = [
  'name',
  'author',
  'version',
  'organization',
  'description',
  'url',
  'doi',
  'uuid',
  'repo_url',
];

function writeOrigins(
  metadata: MetadataBuilder,
  key: string,
  sources: GeneralSources,
  names: readonly string[],
): void {
  const given = names.find((name) => Object.hasOwn(sources.card, name));
  if (given === undefined) return;
  const origins: Origin[] = items(sources.card[given]).map((item) => originOf(item, sources.parameterCount));
  metadata.uint32(`general.${key}.count`, origins.length);
  origins.forEach((origin, index) => {
    for (const field of originFields) {
      const value = origin[field];
      if (value !== undefined && value !== null)
        metadata.string(`general.${key}.${index}.${field}`, asText(value));
    }
  });
}

/** A card gives one value or a list of them. */
function items(value: unknown): readonly unknown[] {
  if (typeof value === 'string') return [value];
  return Array.isArray(value) ? value : [];
}

function asText(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
