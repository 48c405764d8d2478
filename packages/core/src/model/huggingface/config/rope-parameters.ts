/**
 * @file The rotary settings of a configuration in one place. Older configurations spread them over `rope_scaling`,
 * `rope_theta` and friends; newer ones gather them in `rope_parameters`, once or once for each kind of attention layer.
 */
import { isJsonObject, type JsonObject } from '../folder.js';
import type { Hparams } from './hparams.js';

const globalTheta = [
  'global_rope_theta',
  'rope_global_theta',
  'rope_theta_global',
  'rope_theta',
  'rotary_emb_base',
];
const localTheta = [
  'local_rope_theta',
  'rope_local_theta',
  'rope_theta_local',
  'swa_rope_theta',
  'rope_local_base_freq',
];
const rotaryShare = ['partial_rotary_factor', 'rope_pct', 'rope_percent'];

export interface RopeParameters {
  /** All settings as gathered. */
  readonly all: JsonObject;
  /** Those of the full-attention layers: the ones that a model without sliding windows has. */
  readonly full: JsonObject;
  /** Those of the sliding-window layers, where the model tells them apart. */
  readonly sliding: JsonObject;
}

export function ropeParameters(hparams: Hparams): RopeParameters {
  const given = hparams.has('rope_parameters') ? hparams.get('rope_parameters') : hparams.get('rope_scaling');
  const gathered: JsonObject = isJsonObject(given) ? given : {};
  const all =
    'full_attention' in gathered || 'sliding_attention' in gathered ? gathered : mirrored(gathered, hparams);
  return {
    all,
    full: isJsonObject(all.full_attention) ? all.full_attention : all,
    sliding: isJsonObject(all.sliding_attention) ? all.sliding_attention : {},
  };
}

function mirrored(gathered: JsonObject, hparams: Hparams): JsonObject {
  const all: Record<string, unknown> = { ...gathered };
  const fill = (key: string, value: unknown): void => {
    if (!Object.hasOwn(all, key) && value !== undefined && value !== null) all[key] = value;
  };
  const local = hparams.find(...localTheta);
  if (local !== undefined) all.sliding_attention = { rope_theta: local };
  fill('rope_theta', hparams.find(...globalTheta));
  fill('rope_type', all.type);
  fill('partial_rotary_factor', hparams.find(...rotaryShare));
  fill('original_max_position_embeddings', hparams.find('original_max_position_embeddings'));
  return all;
}
