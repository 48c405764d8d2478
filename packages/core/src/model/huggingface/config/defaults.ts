/**
 * @file What a configuration leaves unsaid, by model type. `config.json` names only what differs from the defaults of its
 * model type in transformers (4.57), so those defaults are part of the format; this file is that knowledge as data, with
 * the few values that are computed. A configuration that transformers itself refuses is taken as it stands.
 */
import type { JsonObject } from '../folder.js';
import { headDimension, numericOr, usedSlidingWindow } from './derived.js';
import { refusesRopeScaling, withPhi3RopeType, withRopeType } from './rope-scaling.js';

type Complete = (config: JsonObject) => JsonObject | undefined;

const common = {
  bos_token_id: 1,
  eos_token_id: 2,
  pad_token_id: null,
  tie_word_embeddings: false,
  rope_theta: 10_000,
};

const llamaDefaults = {
  ...common,
  vocab_size: 32_000,
  hidden_size: 4096,
  intermediate_size: 11_008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: null,
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-6,
  rope_scaling: null,
  head_dim: null,
};

const mistralDefaults = {
  ...common,
  vocab_size: 32_000,
  hidden_size: 4096,
  intermediate_size: 14_336,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: null,
  max_position_embeddings: 131_072,
  rms_norm_eps: 1e-6,
  sliding_window: 4096,
};

const qwenDefaults = {
  vocab_size: 151_936,
  hidden_size: 4096,
  intermediate_size: 22_016,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 32,
  max_position_embeddings: 32_768,
  rms_norm_eps: 1e-6,
  tie_word_embeddings: false,
  rope_theta: 10_000,
  rope_scaling: null,
  use_sliding_window: false,
  sliding_window: 4096,
};

const gemma3Defaults = {
  vocab_size: 262_208,
  hidden_size: 2304,
  intermediate_size: 9216,
  num_hidden_layers: 26,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 256,
  max_position_embeddings: 131_072,
  rms_norm_eps: 1e-6,
  pad_token_id: 0,
  eos_token_id: 1,
  bos_token_id: 2,
  tie_word_embeddings: true,
  rope_theta: 1_000_000,
  rope_local_base_freq: 10_000,
  rope_scaling: null,
  sliding_window: 4096,
  final_logit_softcapping: null,
  attn_logit_softcapping: null,
  use_bidirectional_attention: false,
};

const phi3Defaults = {
  vocab_size: 32_064,
  hidden_size: 3072,
  intermediate_size: 8192,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: null,
  max_position_embeddings: 4096,
  original_max_position_embeddings: 4096,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
  rope_theta: 10_000,
  rope_scaling: null,
  partial_rotary_factor: 1,
  bos_token_id: 1,
  eos_token_id: 32_000,
  pad_token_id: 32_000,
  sliding_window: null,
};

function withHeads(config: JsonObject): JsonObject {
  return {
    ...config,
    num_key_value_heads: numericOr(config.num_key_value_heads, config.num_attention_heads),
  };
}

const completeQwen =
  (extra: JsonObject): Complete =>
  (given) => {
    const config = withRopeType(withHeads({ ...qwenDefaults, ...extra, ...given }));
    return refusesRopeScaling(config) ? undefined : { ...config, sliding_window: usedSlidingWindow(config) };
  };

const completions: Readonly<Record<string, Complete>> = {
  llama(given) {
    const config = withRopeType(withHeads({ ...llamaDefaults, ...given }));
    return refusesRopeScaling(config) ? undefined : { ...config, head_dim: headDimension(config) };
  },
  mistral: (given) => withHeads({ ...mistralDefaults, ...given }),
  qwen2: completeQwen({}),
  qwen3: completeQwen({ head_dim: 128 }),
  gemma3_text(given) {
    const config: JsonObject = { ...gemma3Defaults, ...given };
    if (refusesRopeScaling(config)) return undefined;
    if (config.use_bidirectional_attention !== true || typeof config.sliding_window !== 'number')
      return config;
    return { ...config, sliding_window: Math.floor(config.sliding_window / 2) + 1 };
  },
  phi3: (given) => withPhi3RopeType(withHeads({ ...phi3Defaults, ...given })),
};

/** `config` with its model type's defaults; unchanged for a model type that is not known or a configuration refused. */
export function completeConfig(config: JsonObject): JsonObject {
  const type = config.model_type;
  const complete =
    typeof type === 'string' && Object.hasOwn(completions, type) ? completions[type] : undefined;
  return complete?.(config) ?? config;
}
