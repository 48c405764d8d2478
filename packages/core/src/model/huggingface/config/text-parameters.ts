/**
 * @file The keys that every text model shares: sizes, heads, rotary settings, norms and experts, in llama.cpp's order and under
 * all the names that configurations give them.
 */
import { BitsmithError } from '@bitsmith/formats';
import { isJsonObject } from '../folder.js';
import type { MetadataBuilder } from '../metadata-builder.js';
import type { Hparams } from './hparams.js';
import type { RopeParameters } from './rope-parameters.js';

export interface TextParameters {
  readonly hparams: Hparams;
  readonly rope: RopeParameters;
  readonly blockCount: number;
  /** llama.cpp's number for the type that most weights have. */
  readonly fileType: number;
}

export function writeTextParameters(metadata: MetadataBuilder, parameters: TextParameters): void {
  const { hparams, rope, blockCount, fileType } = parameters;
  metadata.uint32(metadata.key('block_count'), blockCount);
  writeSizes(metadata, hparams);
  writeRope(metadata, rope);
  writeNorms(metadata, hparams);
  writeExperts(metadata, hparams);
  const headWidth = hparams.get('head_dim');
  if (headWidth !== undefined) {
    metadata.uint32(metadata.key('attention.key_length'), headWidth);
    metadata.uint32(metadata.key('attention.value_length'), headWidth);
  }
  metadata.uint32('general.file_type', fileType);
}

const contextNames = [
  'max_position_embeddings',
  'n_ctx',
  'n_positions',
  'max_length',
  'max_sequence_length',
  'model_max_length',
];
const feedForwardNames = [
  'prefix_dense_intermediate_size',
  'dense_intermediate_size',
  'intermediate_size',
  'n_inner',
  'hidden_dim',
];

function writeSizes(metadata: MetadataBuilder, hparams: Hparams): void {
  const context = hparams.find(...contextNames);
  if (context !== undefined) metadata.uint32(metadata.key('context_length'), context);
  const embedding = hparams.find('hidden_size', 'n_embd', 'dim');
  if (embedding !== undefined) metadata.uint32(metadata.key('embedding_length'), embedding);
  const feedForward = hparams.find(...feedForwardNames);
  if (feedForward !== undefined) metadata.uint32OrList(metadata.key('feed_forward_length'), feedForward);
  const heads = hparams.find('num_attention_heads', 'n_head', 'n_heads');
  if (heads !== undefined) metadata.uint32OrList(metadata.key('attention.head_count'), heads);
  const kvHeads = hparams.find('num_key_value_heads', 'n_kv_heads');
  if (kvHeads !== undefined) metadata.uint32OrList(metadata.key('attention.head_count_kv'), kvHeads);
  if (hparams.get('is_causal') === false) metadata.bool(metadata.key('attention.causal'), false);
}

function writeRope(metadata: MetadataBuilder, rope: RopeParameters): void {
  writeRopeScaling(metadata, rope);
  const sections = rope.all.mrope_section;
  if (Array.isArray(sections)) {
    metadata.int32Array(metadata.key('rope.dimension_sections'), [...sections, 0, 0, 0, 0].slice(0, 4));
  }
  const { rope_theta: theta } = rope.full;
  if (theta !== undefined && theta !== null) metadata.float32(metadata.key('rope.freq_base'), theta);
  const { rope_theta: localTheta } = rope.sliding;
  if (localTheta !== undefined && localTheta !== null) {
    metadata.float32(metadata.key('rope.freq_base_swa'), localTheta);
  }
}

const yarnFactors = [
  ['extrapolation_factor', 'yarn_ext_factor'],
  ['attention_factor', 'yarn_attn_factor'],
  ['beta_fast', 'yarn_beta_fast'],
  ['beta_slow', 'yarn_beta_slow'],
] as const;

function writeRopeScaling(metadata: MetadataBuilder, rope: RopeParameters): void {
  const { rope_type: type, factor } = rope.full;
  const scaled = factor !== undefined && factor !== null;
  if (type === 'linear' && scaled) {
    metadata.string(metadata.key('rope.scaling.type'), 'linear');
    metadata.float32(metadata.key('rope.scaling.factor'), factor);
  } else if (type === 'yarn' && scaled) {
    metadata.string(metadata.key('rope.scaling.type'), 'yarn');
    metadata.float32(metadata.key('rope.scaling.factor'), factor);
    const { original_max_position_embeddings: trained } = rope.full;
    metadata.uint32(metadata.key('rope.scaling.original_context_length'), trained);
    const given = { ...rope.full };
    if (!Object.hasOwn(given, 'attention_factor')) given.attention_factor = given.attn_factor;
    for (const [source, target] of yarnFactors) {
      const value = given[source];
      if (value !== undefined && value !== null)
        metadata.float32(metadata.key(`rope.scaling.${target}`), value);
    }
  } else if (type === 'su' || type === 'longrope') {
    metadata.string(metadata.key('rope.scaling.type'), 'longrope');
  }
}

function writeNorms(metadata: MetadataBuilder, hparams: Hparams): void {
  const rms = hparams.find('rms_norm_eps', 'norm_eps');
  if (rms !== undefined) metadata.float32(metadata.key('attention.layer_norm_rms_epsilon'), rms);
  const norm = hparams.find('layer_norm_eps', 'layer_norm_epsilon', 'norm_epsilon');
  if (norm !== undefined) metadata.float32(metadata.key('attention.layer_norm_epsilon'), norm);
}

const gatingFunctions: Readonly<Record<string, number>> = { softmax: 1, sigmoid: 2, sqrtsoftplus: 4 };
const gatingNames = [
  'score_function',
  'scoring_func',
  'score_func',
  'moe_router_activation',
  'moe_router_activation_func',
  'expert_selection_fn',
];

function writeExperts(metadata: MetadataBuilder, hparams: Hparams): void {
  const counts = [
    ['expert_count', ['num_local_experts', 'num_experts', 'n_routed_experts']],
    ['expert_used_count', ['num_experts_per_tok', 'num_experts_per_token', 'top_k_experts']],
    ['expert_group_count', ['n_group']],
    ['expert_group_used_count', ['topk_group']],
  ] as const;
  for (const [key, names] of counts) {
    const value = hparams.find(...names);
    if (value !== undefined) metadata.uint32OrList(metadata.key(key), value);
  }
  const gating = hparams.find(...gatingNames);
  if (gating === undefined) return;
  const id =
    typeof gating === 'string' && Object.hasOwn(gatingFunctions, gating)
      ? gatingFunctions[gating]
      : undefined;
  if (id === undefined) {
    throw new BitsmithError(
      'unsupported',
      'MODEL_CONFIG',
      `unknown expert gating function ${JSON.stringify(gating)}`,
      {
        expected: Object.keys(gatingFunctions).join(', '),
        found: JSON.stringify(gating),
        suggestion: 'Convert the model with a tool that knows it, and give the GGUF.',
      },
    );
  }
  metadata.uint32(metadata.key('expert_gating_func'), id);
}

/** Whether the configuration says that the weights are already quantized, and how. */
export function quantizationMethod(hparams: Hparams): string | undefined {
  const quantization = hparams.get('quantization_config');
  if (!isJsonObject(quantization)) return undefined;
  return typeof quantization.quant_method === 'string' ? quantization.quant_method : 'unknown';
}
