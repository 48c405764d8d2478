/**
 * @file What a tokenizer's post-processor says of special tokens: which token it puts first and last, hence whether texts begin with
 * BOS and end with EOS, and names for roles that tokenizer_config.json leaves open. A crude reading of simple templates, as
 * llama.cpp's converter has it: unusual sequences are read wrongly there and here alike.
 */
import { isJsonObject, type JsonObject } from '../folder.js';

export interface TemplateRoles {
  /** tokenizer_config.json with what the templates add to it. */
  readonly config: JsonObject | undefined;
  readonly roles: readonly string[];
  readonly adds: ReadonlyMap<string, boolean>;
}

interface Reading {
  readonly config: Record<string, unknown> | undefined;
  roles: readonly string[];
  readonly adds: Map<string, boolean>;
  bos: unknown;
  cls: unknown;
  eos: unknown;
  sep: unknown;
}

export function templateRoles(
  tokenizer: JsonObject | undefined,
  tokenizerConfig: JsonObject | undefined,
  roles: readonly string[],
): TemplateRoles {
  const config = tokenizerConfig === undefined ? undefined : { ...tokenizerConfig };
  if (tokenizer === undefined) return { config, roles, adds: new Map() };
  const reading: Reading = {
    config,
    roles,
    adds: new Map(),
    bos: config?.bos_token,
    cls: config?.cls_token,
    eos: config?.eos_token,
    sep: config?.sep_token,
  };
  if (!given(reading.bos) && given(reading.cls)) name(reading, 'bos', reading.cls);
  if (!given(reading.eos) && given(reading.sep)) name(reading, 'eos', reading.sep);
  for (const processor of processorsOf(tokenizer.post_processor)) {
    if (processor.type === 'RobertaProcessing') readRoberta(reading, processor);
    else if (processor.type === 'TemplateProcessing') readTemplate(reading, processor);
  }
  return reading;
}

function processorsOf(postProcessor: unknown): readonly JsonObject[] {
  if (!isJsonObject(postProcessor)) return [];
  return Array.isArray(postProcessor.processors)
    ? postProcessor.processors.filter(isJsonObject)
    : [postProcessor];
}

function given(token: unknown): boolean {
  return token !== undefined && token !== null && token !== '';
}

type NamedRole = 'bos' | 'cls' | 'eos' | 'sep';

function name(reading: Reading, role: NamedRole, token: unknown): void {
  reading[role] = token;
  if (reading.config !== undefined) reading.config[`${role}_token`] = token;
}

function readRoberta(reading: Reading, processor: JsonObject): void {
  for (const role of ['bos', 'eos', 'sep']) reading.adds.set(role, true);
  if (reading.config === undefined) return;
  if (!given(reading.cls)) name(reading, 'cls', firstOf(processor.cls, reading.bos));
  if (!given(reading.sep)) name(reading, 'sep', firstOf(processor.sep, reading.eos));
}

function firstOf(value: unknown, fallback: unknown): unknown {
  return Array.isArray(value) ? value[0] : fallback;
}

function readTemplate(reading: Reading, processor: JsonObject): void {
  const single = pieces(processor.single);
  const first = single.length > 1 ? specialId(single[0]) : undefined;
  const last = single.length > 1 ? specialId(single.at(-1)) : undefined;
  if (first !== undefined) readFirst(reading, first);
  if (last !== undefined) readLast(reading, last);
  readPair(reading, pieces(processor.pair), first, last);
}

function readFirst(reading: Reading, first: string): void {
  if (reading.config === undefined) {
    reading.bos = first;
  } else if (first !== reading.bos && first !== reading.cls) {
    if (!given(reading.bos)) name(reading, 'bos', first);
    if (!given(reading.cls)) name(reading, 'cls', first);
  }
  reading.adds.set('bos', first === reading.bos || first === reading.cls);
}

function readLast(reading: Reading, last: string): void {
  if (reading.config === undefined) {
    reading.eos = last;
  } else if (last !== reading.eos) {
    // The token that was the end of a text becomes the end of a turn.
    const turn = ['eot', 'eom'].find((role) => !reading.roles.includes(role));
    if (turn !== undefined) {
      reading.roles = [...reading.roles, turn];
      reading.config[`${turn}_token`] = reading.eos;
    }
    name(reading, 'eos', last);
  }
  reading.adds.set('eos', last === reading.eos);
}

/** A [sep] [eos] B: whether something stands between two texts. */
function readPair(
  reading: Reading,
  pair: readonly JsonObject[],
  first: string | undefined,
  last: string | undefined,
): void {
  if (pair.length === 0) return;
  const start = first !== undefined && specialId(pair[0]) === first ? 1 : 0;
  const stop = last !== undefined && specialId(pair.at(-1)) === last ? -1 : undefined;
  const body = pair.slice(start, stop);
  if (body.length === 0 || sequenceId(body[0]) !== 'A' || sequenceId(body.at(-1)) !== 'B') return;
  const between = body.slice(1, -1);
  if (between.length === 0) return;
  const separates = (id: string | undefined): boolean =>
    id !== undefined && (id === reading.sep || id === reading.eos);
  const addsSeparator =
    (separates(specialId(between[0])) && last === undefined) ||
    (between.length === 2 && separates(specialId(between[1])));
  reading.adds.set('sep', addsSeparator);
  if (addsSeparator && !given(reading.sep) && reading.config !== undefined) {
    reading.config.sep_token = reading.eos;
  }
}

function pieces(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

function specialId(piece: JsonObject | undefined): string | undefined {
  const special = piece?.SpecialToken;
  return isJsonObject(special) && typeof special.id === 'string' && special.id !== ''
    ? special.id
    : undefined;
}

function sequenceId(piece: JsonObject | undefined): unknown {
  const sequence = piece?.Sequence;
  return isJsonObject(sequence) ? sequence.id : undefined;
}
