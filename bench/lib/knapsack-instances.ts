/**
 * @file Models as the planner sees them, drawn at random: real shapes, real schemes, exact bytes with alignment. Losses fall by 4
 * a bit; what sets tensors apart is log-normal, what sets schemes of equal size apart is common to all tensors but for a
 * scatter. Equal shapes and nearly equal prices, as of experts, are what makes a knapsack hard.
 */
import { type Candidate, type Choice, schemes, storedBytes } from '@bitsmith/core';
import { normalQuantiles, randomWords } from './random.js';

export interface KnapsackModel {
  readonly name: string;
  readonly choices: readonly Choice[];
  readonly weights: number;
}

interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
}

/** A dense transformer as of 8 thousand million weights, cut to so many tensors. */
export function denseModel(seed: number, tensors: number, schemeCount: number): KnapsackModel {
  const block = (index: number): Tensor[] => [
    { name: `blk.${index}.attn_q`, shape: [4096, 4096] },
    { name: `blk.${index}.attn_k`, shape: [4096, 1024] },
    { name: `blk.${index}.attn_v`, shape: [4096, 1024] },
    { name: `blk.${index}.attn_output`, shape: [4096, 4096] },
    { name: `blk.${index}.ffn_gate`, shape: [4096, 14_336] },
    { name: `blk.${index}.ffn_up`, shape: [4096, 14_336] },
    { name: `blk.${index}.ffn_down`, shape: [14_336, 4096] },
  ];
  return priced('dense', seed, schemeCount, cut(block, [4096, 128_256], tensors));
}

/** A mixture of experts with every expert a tensor of its own. */
export function mixtureModel(seed: number, tensors: number, schemeCount: number): KnapsackModel {
  const block = (index: number): Tensor[] => [
    { name: `blk.${index}.attn_q`, shape: [2048, 4096] },
    { name: `blk.${index}.attn_k`, shape: [2048, 512] },
    { name: `blk.${index}.attn_v`, shape: [2048, 512] },
    { name: `blk.${index}.attn_output`, shape: [4096, 2048] },
    ...Array.from({ length: 64 }, (_, expert): Tensor[] => [
      { name: `blk.${index}.ffn_gate.${expert}`, shape: [2048, 768] },
      { name: `blk.${index}.ffn_up.${expert}`, shape: [2048, 768] },
      { name: `blk.${index}.ffn_down.${expert}`, shape: [768, 2048] },
    ]).flat(),
  ];
  return priced('mixture', seed, schemeCount, cut(block, [2048, 151_936], tensors));
}

/** Bytes at so many bits per weight. */
export function bytesAt({ weights }: KnapsackModel, bitsPerWeight: number): number {
  return Math.floor((weights * bitsPerWeight) / 8);
}

function cut(block: (index: number) => Tensor[], table: readonly number[], count: number): Tensor[] {
  const tensors: Tensor[] = [
    { name: 'token_embd', shape: table },
    { name: 'output', shape: table },
  ];
  for (let index = 0; tensors.length < count; index++) tensors.push(...block(index));
  return tensors.slice(0, count);
}

const SENSITIVITY_SPREAD = 1.3;
const SCHEME_SPREAD = 0.2;
const SCATTER = 0.05;

function priced(kind: string, seed: number, schemeCount: number, tensors: readonly Tensor[]): KnapsackModel {
  const words = randomWords(seed);
  const quantiles = normalQuantiles(4096);
  const normal = (): number => quantiles[words() % quantiles.length];
  const spread = schemes.filter(
    (_, index) =>
      Math.floor((index * schemeCount) / schemes.length) !==
      Math.floor(((index - 1) * schemeCount) / schemes.length),
  );
  const quality = spread.map(() => Math.exp(SCHEME_SPREAD * normal()));
  const choices = tensors.map(({ name, shape }): Choice => {
    const elements = shape[0] * shape[1];
    const sensitivity = 1e-9 * elements * Math.exp(SENSITIVITY_SPREAD * normal());
    const candidates = spread.map(({ id }, index): Candidate => {
      const bytes = storedBytes(id, shape);
      const bits = (bytes * 8) / elements;
      const klNats = sensitivity * quality[index] * 4 ** -bits * Math.exp(SCATTER * normal());
      return { scheme: id, bytes, klNats };
    });
    return { tensor: name, candidates, direct: name === 'output', constraint: null };
  });
  const weights = tensors.reduce((sum, { shape }) => sum + shape[0] * shape[1], 0);
  return { name: `${kind}, ${tensors.length} tensors, ${spread.length} schemes`, choices, weights };
}
