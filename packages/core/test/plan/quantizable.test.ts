import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { quantizable } from '../../src/plan/quantizable.js';
import { smallLlama, tensorOf } from './models.js';

describe('quantizable', () => {
  it('allows the matrices of a plain model and keeps its norms', () => {
    const kept = smallLlama(1).filter((tensor) => !quantizable(tensor).allowed);
    expect(kept.map(({ name }) => name)).toEqual([
      'blk.0.attn_norm.weight',
      'blk.0.ffn_norm.weight',
      'output_norm.weight',
    ]);
  });

  it.each([
    ['token_embd.weight', 'embedding'],
    ['per_layer_token_embd.weight', 'embedding of every layer'],
    ['output.weight', 'head'],
    ['blk.0.ffn_down_exps.weight', 'experts'],
    ['blk.0.ffn_gate_inp_shexp.weight', 'gate of the shared expert'],
    ['blk.0.attn_kv_a_mqa.weight', 'latent'],
    ['blk.0.time_mix_key.weight', 'time mix'],
    ['blk.0.ssm_in.weight', 'state space'],
    ['blk.0.shortconv.in_proj.weight', 'short convolution, its projection'],
    ['cls.weight', 'classifier'],
  ])('allows %s (%s)', (name) => {
    expect(quantizable(tensorOf(name, 'F16', 256, 256))).toEqual({ allowed: true, reason: null });
  });

  it.each([
    ['blk.0.attn_norm.weight', 'a normalisation'],
    ['blk.0.attn_q_norm.weight', 'a normalisation'],
    ['blk.0.ffn_gate_inp.weight', 'a router, small and decisive'],
    ['blk.0.ffn_gate_tid2eid.weight', 'a routing table of integers'],
    ['blk.0.altup_router.weight', 'very small'],
    ['altup_proj.weight', 'very small'],
    ['blk.0.laurel_l.weight', 'very small'],
    ['per_layer_model_proj.weight', 'small'],
    ['position_embd.weight', 'a position embedding'],
    ['token_types.weight', 'a token type embedding'],
    ['blk.0.ssm_conv1d.weight', 'a small convolution'],
    ['blk.0.ssm_conv1d_q.weight', 'a small convolution'],
    ['blk.0.shortconv.conv.weight', 'a small convolution'],
    ['blk.0.indexer.k_proj.weight', 'very small'],
    ['blk.0.time_mix_w1.weight', 'a small tensor of the time mix'],
    ['blk.0.time_mix_lerp_fused.weight', 'a small tensor of the time mix'],
    ['enc.blk.0.attn_rel_b.weight', 'a relative position bias'],
    ['v.position_embd.weight', 'a position embedding'],
    ['v.patch_embd.weight', 'part of the vision encoder'],
    ['a.rvq.codebook.weight', 'an audio codebook'],
    ['blk.0.ssm_a', 'not a weight matrix'],
    ['blk.0.attn_q.bias', 'not a weight matrix'],
  ])('keeps %s: %s', (name, reason) => {
    expect(quantizable(tensorOf(name, 'F16', 256, 256))).toEqual({ allowed: false, reason });
  });

  it('decides as llama-quantize does on every name it knows', () => {
    const golden = readFileSync(new URL('golden/llama-quantize-names.txt', import.meta.url), 'utf8');
    const lines = golden.split('\n').filter((line) => /^[+-] /.test(line));
    expect(lines.length).toBeGreaterThan(250);
    const ours = lines.map((line) => {
      const name = line.slice(2);
      return `${quantizable(tensorOf(name, 'F16', 256, 4)).allowed ? '+' : '-'} ${name}`;
    });
    expect(ours).toEqual(lines);
  });

  it('keeps vectors however they are written, four axes, and what cannot be decoded', () => {
    expect(quantizable(tensorOf('a.weight', 'F16', 256))).toMatchObject({ reason: 'a vector' });
    expect(quantizable(tensorOf('a.weight', 'F16', 256, 1, 1))).toMatchObject({ reason: 'a vector' });
    expect(quantizable(tensorOf('a.weight', 'F16', 256, 1, 8))).toMatchObject({ allowed: true });
    expect(quantizable(tensorOf('a.weight', 'F16', 256, 2, 2, 2))).toMatchObject({ reason: 'four axes' });
    expect(quantizable(tensorOf('a.weight', 'I32', 256, 2))).toMatchObject({ allowed: false });
    expect(quantizable(tensorOf('a.weight', 'Q8_0', 256, 2))).toMatchObject({ allowed: true });
  });
});
