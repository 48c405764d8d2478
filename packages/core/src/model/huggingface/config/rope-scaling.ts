/**
 * @file The two spellings of a RoPE scaling's type, and which scalings transformers refuses. A refused configuration loses the
 * defaults of its model type, since the converter then reads `config.json` as it stands.
 */
import { isJsonObject, type JsonObject } from '../folder.js';

/** Keys that a scaling must have, by type. */
const requiredKeys: Readonly<Record<string, readonly string[]>> = {
  default: ['rope_type'],
  linear: ['rope_type', 'factor'],
  dynamic: ['rope_type', 'factor'],
  yarn: ['rope_type', 'factor'],
  longrope: ['rope_type', 'short_factor', 'long_factor'],
  llama3: ['rope_type', 'factor', 'original_max_position_embeddings', 'low_freq_factor', 'high_freq_factor'],
};

/** The older key `type` is copied to `rope_type`. */
export function withRopeType(config: JsonObject): JsonObject {
  const scaling = config.rope_scaling;
  if (!isJsonObject(scaling) || !Object.hasOwn(scaling, 'type')) return config;
  return { ...config, rope_scaling: { ...scaling, rope_type: scaling.type } };
}

export function refusesRopeScaling(config: JsonObject): boolean {
  const scaling = config.rope_scaling;
  if (scaling === null || scaling === undefined) return false;
  if (!isJsonObject(scaling)) return true;
  const type = scaling.rope_type ?? scaling.type ?? 'default';
  const required = typeof type === 'string' && Object.hasOwn(requiredKeys, type) ? requiredKeys[type] : [];
  return required.some((key) => !Object.hasOwn(scaling, key));
}

/** Phi-3 renames its older types to `longrope` and takes no other; `undefined` for a configuration that it refuses. */
export function withPhi3RopeType(config: JsonObject): JsonObject | undefined {
  const scaling = config.rope_scaling;
  if (scaling === null || scaling === undefined) return config;
  if (!isJsonObject(scaling)) return undefined;
  const type = scaling.type === 'su' || scaling.type === 'yarn' ? 'longrope' : scaling.type;
  const pairs = phi3RotaryPairs(config);
  const valid =
    Object.keys(scaling).length === 3 &&
    type === 'longrope' &&
    isFactorList(scaling.short_factor, pairs) &&
    isFactorList(scaling.long_factor, pairs);
  return valid ? { ...config, rope_scaling: { ...scaling, type } } : undefined;
}

function phi3RotaryPairs(config: JsonObject): number {
  const headWidth = Math.floor(Number(config.hidden_size) / Number(config.num_attention_heads));
  return Math.floor(Math.trunc(headWidth * Number(config.partial_rotary_factor)) / 2);
}

function isFactorList(value: unknown, length: number): boolean {
  return Array.isArray(value) && value.length === length && value.every((item) => typeof item === 'number');
}
