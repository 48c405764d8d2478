import type { ModelTensor, SourceModel } from '@bitsmith/core';
import { describe, expect, it } from 'vitest';
import { pairsOf } from '../lib/importance/ladder.js';
import { PlanSpace } from '../lib/importance/plans.js';

function matrix(name: string, columns: number, rows: number): ModelTensor {
  const elements = columns * rows;
  const shape = [columns, rows];
  return { name, type: 'F16', shape, elements, byteLength: 2 * elements, role: 'other', block: null };
}

function modelOf(tensors: readonly ModelTensor[]): SourceModel {
  const byteLength = tensors.reduce((sum, tensor) => sum + tensor.byteLength, 0);
  return {
    location: 'memory',
    ggufPath: 'memory',
    files: [],
    sha256: '',
    architecture: 'llama',
    name: 'memory',
    metadata: new Map(),
    tensors,
    parameterCount: byteLength / 2,
    byteLength,
    dtype: 'F16',
  };
}

const tensors = Array.from({ length: 40 }, (_, index) =>
  matrix(`blk.${index}.ffn_up.weight`, 512, 16 + index),
);
const model = modelOf(tensors);
const pairs = pairsOf(model);

describe('pairsOf', () => {
  it('takes the K-quants where 256 divides a row, and what llama.cpp has where 64 does', () => {
    expect(pairs.slice(0, 5).map(({ scheme }) => scheme)).toEqual([
      'IQ2_XXS',
      'Q2_K',
      'Q3_K',
      'Q4_K',
      'Q6_K',
    ]);
    const narrow = pairsOf(modelOf([matrix('blk.0.attn_output.weight', 576, 8)]));
    expect(narrow.map(({ scheme, bits }) => [scheme, bits])).toEqual([
      ['Q2_0', 2],
      ['IQ4_NL', 4],
      ['Q5_0', 5],
      ['Q8_0', null],
    ]);
  });

  it('leaves out what is not quantized', () => {
    expect(pairsOf(modelOf([matrix('blk.0.attn_norm.weight', 512, 1)]))).toEqual([]);
  });
});

describe('PlanSpace', () => {
  const space = new PlanSpace(model, pairs);

  it('draws random plans of the sizes asked for, the same for the same seed', () => {
    const plans = space.randomPlans(12, 2.3, 5, 7);
    plans.forEach((plan, index) => {
      expect(Math.abs(plan.bitsPerWeight - (2.3 + (2.7 * (index + 0.5)) / 12))).toBeLessThan(0.05);
      expect(plan.picks.map(({ tensor }) => tensor.name)).toEqual(tensors.map(({ name }) => name));
    });
    expect(space.randomPlans(12, 2.3, 5, 7)).toEqual(plans);
    expect(space.randomPlans(12, 2.3, 5, 8)).not.toEqual(plans);
  });

  it('mixes schemes in every plan', () => {
    for (const { picks } of space.randomPlans(12, 2.6, 5, 7)) {
      expect(new Set(picks.map(({ scheme }) => scheme)).size).toBeGreaterThanOrEqual(3);
    }
  });

  it('spends the bits where the price says', () => {
    const costly = tensors[3].name;
    const price = ({ tensor, scheme }: (typeof pairs)[number]): number =>
      (tensor.name === costly ? 1000 : 1) / ['IQ2_XXS', 'Q2_K', 'Q3_K', 'Q4_K', 'Q6_K'].indexOf(scheme);
    const plan = space.bestPlan('best', 3.5, (pair) => Math.min(price(pair), 1e6));
    expect(plan.bitsPerWeight).toBeLessThanOrEqual(3.5);
    expect(plan.bitsPerWeight).toBeGreaterThan(3.4);
    expect(plan.picks.find(({ tensor }) => tensor.name === costly)?.scheme).toBe('Q6_K');
  });
});
