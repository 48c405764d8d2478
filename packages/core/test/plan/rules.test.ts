import { describe, expect, test } from 'vitest';
import type { ModelTensor } from '../../src/model/types.js';
import { dataRange, storageOptions } from '../../src/plan/options.js';
import { makePlan } from '../../src/plan/plan.js';
import { priceOptions } from '../../src/plan/price.js';
import { blockCount, ruleFor } from '../../src/plan/rules/name-rules.js';
import { asRulePlan, rulePrices } from '../../src/plan/rules/rule-prices.js';
import { typicalError } from '../../src/plan/rules/typical-errors.js';
import { ggufSchemes, schemes } from '../../src/plan/schemes.js';
import { smallLlama, tensorOf } from './models.js';

/** LLaMA 7B: 32 blocks of seven matrices and two norms, with embedding, last norm and head. */
function llama7b(): readonly ModelTensor[] {
  const block = (index: number): ModelTensor[] => [
    tensorOf(`blk.${index}.attn_norm.weight`, 'F32', 4096),
    ...['attn_q', 'attn_k', 'attn_v', 'attn_output'].map((name) =>
      tensorOf(`blk.${index}.${name}.weight`, 'F16', 4096, 4096),
    ),
    tensorOf(`blk.${index}.ffn_norm.weight`, 'F32', 4096),
    tensorOf(`blk.${index}.ffn_gate.weight`, 'F16', 4096, 11_008),
    tensorOf(`blk.${index}.ffn_up.weight`, 'F16', 4096, 11_008),
    tensorOf(`blk.${index}.ffn_down.weight`, 'F16', 11_008, 4096),
  ];
  return [
    tensorOf('token_embd.weight', 'F16', 4096, 32_000),
    ...Array.from({ length: 32 }, (_, index) => block(index)).flat(),
    tensorOf('output_norm.weight', 'F32', 4096),
    tensorOf('output.weight', 'F16', 4096, 32_000),
  ];
}

function bitsOf(tensors: readonly ModelTensor[]): Map<string, number> {
  const blocks = blockCount(tensors);
  return new Map(tensors.map((tensor) => [tensor.name, ruleFor(tensor, blocks).bits]));
}

describe('the name rules', () => {
  test('give LLaMA 7B 67 tensors at 16 bits, 176 at 4 and 48 at 2', () => {
    const counts: Record<number, number> = {};
    for (const bits of bitsOf(llama7b()).values()) counts[bits] = (counts[bits] ?? 0) + 1;
    expect(counts).toEqual({ 16: 67, 4: 176, 2: 48 });
  });

  test('call an output sensitive, but not the output projection of attention', () => {
    const bits = bitsOf(llama7b());
    expect(bits.get('output.weight')).toBe(16);
    expect(bits.get('blk.12.attn_output.weight')).toBe(4);
  });

  test('part the depth by true block numbers: blocks 8 to 23 of 32 are the middle', () => {
    const middle = [...bitsOf(llama7b())].filter(([, bits]) => bits === 2).map(([name]) => name);
    const blocks = [...new Set(middle.map((name) => Number(name.split('.')[1])))];
    expect(blocks).toEqual(Array.from({ length: 16 }, (_, index) => index + 8));
  });

  test('read what they do not know by its own name', () => {
    const rule = (name: string) => ruleFor({ name, role: 'other', block: 5 }, 12).bits;
    expect(rule('bert.pooler.dense.weight')).toBe(16);
    expect(rule('transformer.wte.weight')).toBe(16);
    expect(rule('x.attention.self.weight')).toBe(4);
    expect(rule('x.something.weight')).toBe(2);
  });
});

describe('the rules as prices', () => {
  const tensors = smallLlama(8);
  const storage = storageOptions(tensors);
  const source = { name: 'small', sha256: 'a'.repeat(64) };
  const planOf = (bytes: number) => {
    const choices = priceOptions(storage, rulePrices(storage));
    return makePlan({ source, choices, budget: { request: 'test', bytes }, headerBytes: 0 });
  };
  const bitsIn = (plan: ReturnType<typeof planOf>, name: string) => {
    const scheme = plan.tensors.find(({ tensor }) => tensor === name)?.scheme;
    return schemes.find(({ id }) => id === scheme)?.bits ?? 0;
  };

  test('meet any size, and spread bits as the rules do', () => {
    const { smallestBytes, largestBytes } = dataRange(storage);
    for (const share of [0.1, 0.2, 0.4, 0.7]) {
      const bytes = Math.floor(smallestBytes + share * (largestBytes - smallestBytes));
      const plan = planOf(bytes);
      expect(plan.predicted.bytes).toBeLessThanOrEqual(bytes);
      const middle = bitsIn(plan, 'blk.4.ffn_up.weight');
      expect(bitsIn(plan, 'blk.4.attn_q.weight')).toBeGreaterThanOrEqual(middle);
      expect(bitsIn(plan, 'blk.0.ffn_up.weight')).toBeGreaterThanOrEqual(middle);
      expect(bitsIn(plan, 'token_embd.weight')).toBeGreaterThanOrEqual(bitsIn(plan, 'blk.4.attn_q.weight'));
    }
  });

  test('come out around 8, 4 and 2 bits where a file takes what the rules would', () => {
    const spent = storage.reduce((sum, { tensor, options }) => {
      const bits = ruleFor(tensor, 8).bits;
      const scheme = bits === 16 ? 'Q8_0' : bits === 4 ? 'Q4_K' : 'Q2_K';
      return sum + (options.find((option) => option.scheme === scheme) ?? options[0]).bytes;
    }, 0);
    const plan = planOf(spent);
    expect(bitsIn(plan, 'token_embd.weight')).toBeGreaterThanOrEqual(6);
    expect([3, 4, 5]).toContain(bitsIn(plan, 'blk.4.attn_q.weight'));
    expect([2, 3]).toContain(bitsIn(plan, 'blk.4.ffn_up.weight'));
  });

  test('are no losses: the plan names its rules and predicts nothing', () => {
    const plan = asRulePlan(planOf(3_000_000), storage, 0);
    expect(plan.predicted).toMatchObject({ klNats: null, klLowerBound: null, evidence: 'assumed' });
    const line = plan.tensors.find(({ tensor }) => tensor === 'blk.4.ffn_up.weight');
    expect(line).toMatchObject({ klNats: null, decidedBy: { kind: 'rule' } });
    expect(line?.reason).toBe('by rule: block 4 of 8, the middle half, 2 bits');
  });

  test('know every scheme, and that more bits of a kind lose less', () => {
    for (const { id } of schemes) expect(typicalError(id)).toBeTypeOf('number');
    const kind = ['Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K', 'Q8_0', 'F16'].map((id) => typicalError(id) ?? NaN);
    expect(kind).toEqual(kind.toSorted((a, b) => b - a));
    expect(ggufSchemes.length).toBeGreaterThan(20);
    expect(typicalError('nothing')).toBeUndefined();
  });
});
