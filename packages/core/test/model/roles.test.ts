import { describe, expect, it } from 'vitest';
import { blockOf, roleOf } from '../../src/model/roles.js';
import type { TensorRole } from '../../src/model/types.js';

const cases: [name: string, architecture: string, role: TensorRole][] = [
  ['token_embd.weight', 'llama', 'embedding'],
  ['per_layer_token_embd.weight', 'gemma3n', 'embedding'],
  ['position_embd.weight', 'gpt2', 'embedding'],
  ['token_types.weight', 'bert', 'embedding'],
  ['blk.3.nextn.embed_tokens.weight', 'glm4moe', 'embedding'],
  ['token_embd_norm.weight', 'lfm2', 'norm'],
  ['output_norm.weight', 'llama', 'norm'],
  ['blk.0.attn_norm.weight', 'llama', 'norm'],
  ['blk.0.attn_norm.bias', 'gpt2', 'norm'],
  ['blk.0.attn_q_norm.weight', 'qwen3', 'norm'],
  ['blk.0.post_ffw_norm_1.weight', 'gemma4', 'norm'],
  ['blk.0.ssm_dt_norm.weight', 'jamba', 'norm'],
  ['blk.7.time_mix_ln.weight', 'rwkv7', 'norm'],
  ['blk.3.nextn.enorm.weight', 'glm4moe', 'norm'],
  ['output.weight', 'llama', 'output-head'],
  ['cls.output.weight', 'bert', 'output-head'],
  ['blk.0.attn_q.weight', 'llama', 'attention-q'],
  ['blk.0.attn_q.bias', 'qwen2', 'attention-q'],
  ['blk.0.attn_q_a.weight', 'deepseek2', 'attention-q'],
  ['blk.0.attn_k.weight', 'llama', 'attention-k'],
  ['blk.0.attn_k_b.weight', 'deepseek2', 'attention-k'],
  ['blk.0.attn_v.weight', 'llama', 'attention-v'],
  ['blk.0.attn_kv_a_mqa.weight', 'deepseek2', 'attention-v'],
  ['blk.0.attn_qkv.weight', 'phi3', 'attention-qkv'],
  ['blk.0.attn_qkv.weight', 'qwen3next', 'ssm'],
  ['blk.0.attn_gate.weight', 'qwen35', 'ssm'],
  ['blk.0.attn_gate.weight', 'afmoe', 'other'],
  ['blk.0.attn_output.weight', 'llama', 'attention-output'],
  ['enc.blk.0.attn_o.weight', 't5', 'attention-output'],
  ['dec.blk.0.cross_attn_v.weight', 't5', 'attention-v'],
  ['blk.0.ffn_gate.weight', 'llama', 'mlp-gate'],
  ['blk.0.ffn_gate_shexp.weight', 'qwen2moe', 'mlp-gate'],
  ['blk.0.ffn_up.weight', 'phi3', 'mlp-up'],
  ['blk.0.ffn_down.weight', 'llama', 'mlp-down'],
  ['blk.0.ffn_gate.3.weight', 'llama', 'expert-gate'],
  ['blk.0.ffn_gate_exps.weight', 'qwen3moe', 'expert-gate'],
  ['blk.0.ffn_gate_up_exps.weight', 'gpt-oss', 'expert-up'],
  ['blk.0.ffn_up_chexps.weight', 'grovemoe', 'expert-up'],
  ['blk.0.ffn_down_exps.bias', 'gpt-oss', 'expert-down'],
  ['blk.0.ffn_gate_inp.weight', 'qwen3moe', 'router'],
  ['blk.0.exp_probs_b.bias', 'deepseek2', 'router'],
  ['blk.0.ssm_conv1d.weight', 'mamba', 'conv'],
  ['blk.0.shortconv.in_proj.weight', 'lfm2', 'conv'],
  ['convnext.2.dw.weight', 'wavtokenizer-dec', 'conv'],
  ['convnext.2.gamma.weight', 'wavtokenizer-dec', 'conv'],
  ['convnext.2.norm.weight', 'wavtokenizer-dec', 'norm'],
  ['posnet.0.attn_q.weight', 'wavtokenizer-dec', 'attention-q'],
  ['blk.0.ssm_in.weight', 'mamba', 'ssm'],
  ['blk.0.ssm_a', 'mamba', 'ssm'],
  ['blk.0.time_mix_w1.weight', 'rwkv7', 'ssm'],
  ['blk.0.time_mix_key.weight', 'rwkv7', 'attention-k'],
  ['blk.0.channel_mix_value.weight', 'rwkv7', 'mlp-down'],
  ['rope_freqs.weight', 'llama', 'other'],
  ['blk.0.attn_sinks.weight', 'gpt-oss', 'other'],
  ['something.new', 'llama', 'other'],
];

describe('roleOf', () => {
  it.each(cases)('%s of %s is %s', (name, architecture, role) => {
    expect(roleOf(name, architecture)).toBe(role);
  });
});

describe('blockOf', () => {
  it('reads the index as a number', () => {
    const names = [
      'blk.10.attn_q.weight',
      'blk.2.attn_q.weight',
      'enc.blk.11.attn_o.weight',
      'posnet.5.norm1.weight',
    ];
    expect(names.map(blockOf)).toEqual([10, 2, 11, 5]);
  });

  it('is null outside the repeated units', () => {
    expect(['token_embd.weight', 'output.weight', 'blk.weight', 'blk.x.attn_q.weight'].map(blockOf)).toEqual([
      null,
      null,
      null,
      null,
    ]);
  });
});
