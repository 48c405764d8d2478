/**
 * @file What a tensor does in its model, read from its GGUF name. llama.cpp's converters give every architecture the same
 * names (`LLM_TENSOR_NAMES` of llama.cpp v0.4.0), so one ordered table serves them all; the first rule that fits decides.
 * Names of no known meaning are `other`, never a guess.
 */
import type { TensorRole } from './types.js';

/** Every role once; the compiler refuses one that is missing. */
const everyRole: Readonly<Record<TensorRole, true>> = {
  embedding: true,
  norm: true,
  'attention-q': true,
  'attention-k': true,
  'attention-v': true,
  'attention-qkv': true,
  'attention-output': true,
  'mlp-gate': true,
  'mlp-up': true,
  'mlp-down': true,
  'expert-gate': true,
  'expert-up': true,
  'expert-down': true,
  router: true,
  'output-head': true,
  conv: true,
  'time-embedding': true,
  ssm: true,
  other: true,
};

export const tensorRoles = Object.keys(everyRole) as readonly TensorRole[];

/** The repeated unit at the start of a name: `blk.12.`, `enc.blk.3.`, `v.blk.0.`, `posnet.1.`, `convnext.4.` */
const UNIT = /^(?:[a-z]+\.)?(blk|posnet|convnext)\.(\d+)\./;
const SUFFIX = /\.(?:weight|bias|scale|input_scale|beta|gamma)$/;

/**
 * Architectures whose recurrent (gated delta net) layers store their fused input projection as `attn_qkv` and their
 * gate as `attn_gate`; their attention layers use separate q, k and v.
 */
const DELTA_NET_ARCHITECTURES = new Set(['qwen3next', 'qwen35', 'qwen35moe', 'qwen4exp']);

const rules: readonly (readonly [RegExp, TensorRole])[] = [
  [/norm|^time_mix_ln$/, 'norm'],
  [/^(token_embd|position_embd|token_types|per_layer_token_embd|nextn\.embed_tokens)$/, 'embedding'],
  [/^(output|cls|cls\.output|nextn\.shared_head_head)$/, 'output-head'],
  [/^(ffn_gate_inp|ffn_gate_inp_shexp|exp_probs_b|exp_probs_b_vl|ffn_gate_tid2eid|altup_router)$/, 'router'],
  [/conv/, 'conv'],
  [/^ffn_gate(_exps|_chexps|\.\d+)$/, 'expert-gate'],
  // `ffn_gate_up_exps` holds gate and up in one tensor.
  [/^ffn_(up|gate_up)(_exps|_chexps|\.\d+)$/, 'expert-up'],
  [/^ffn_down(_exps|_chexps|\.\d+)$/, 'expert-down'],
  // A shared expert sees every token, so it is a plain feed-forward layer. RWKV's channel mix is one too.
  [/^(ffn_gate(_shexp)?|vis_gate|channel_mix_receptance)$/, 'mlp-gate'],
  [/^(ffn_up(_shexp)?|vis_up|channel_mix_key)$/, 'mlp-up'],
  [/^(ffn_down(_shexp)?|vis_down|channel_mix_value)$/, 'mlp-down'],
  [/^(attn_qkv|vis_attn_qkv)$/, 'attention-qkv'],
  [/^((cross_)?attn_q|attn_q_[ab]|time_mix_receptance)$/, 'attention-q'],
  [/^((cross_)?attn_k|attn_k_b|time_mix_key)$/, 'attention-k'],
  // A latent that keys and values share counts as values, the more sensitive of the two.
  [/^((cross_)?attn_v|attn_v_b|attn_kv|attn_kv_b|attn_kv_a_mqa|time_mix_value)$/, 'attention-v'],
  [/^(attn_output(_[ab])?|(cross_)?attn_o|vis_attn_output|time_mix_output)$/, 'attention-output'],
  [/^(ssm_|time_mix_|channel_mix_)/, 'ssm'],
];

/**
 * The role of a tensor by its GGUF name. A bias has the role of its weight.
 * @param architecture `general.architecture` of the model.
 */
export function roleOf(name: string, architecture: string): TensorRole {
  const unit = UNIT.exec(name);
  const stem = name.slice(unit?.[0].length ?? 0).replace(SUFFIX, '');
  if (DELTA_NET_ARCHITECTURES.has(architecture) && (stem === 'attn_qkv' || stem === 'attn_gate'))
    return 'ssm';
  if (unit?.[1] === 'convnext' && !stem.includes('norm')) return 'conv';
  return rules.find(([pattern]) => pattern.test(stem))?.[1] ?? 'other';
}

/** Index of the repeated unit that a tensor belongs to (`blk.12.attn_q.weight`: 12), or null outside of them. */
export function blockOf(name: string): number | null {
  const unit = UNIT.exec(name);
  return unit === null ? null : Number(unit[2]);
}
