/** @file Knapsack instances for the solver's tests: seeded, from tiny to a large mixture of experts. */
import type { KnapsackChoice } from '../../src/plan/solve.js';
import { gaussian, randomFrom } from '../support/random.js';

/** Bits per weight of real and made-up schemes, several of the same size. */
const bitsPerWeight = [
  1.5625, 1.6875, 1.75, 2.0625, 2.0625, 2.25, 2.3125, 2.5625, 2.625, 3.0625, 3.4375, 3.4375, 4.25, 4.25, 4.5,
  4.5, 4.5, 4.5, 5, 5.5, 5.5, 6, 6.5625, 8.5, 16, 1.125, 2.8, 3.2, 3.6, 3.8, 4.1, 4.7, 4.9, 5.2, 5.7, 6.2, 7,
  7.5, 9, 10,
];

export interface Instance {
  readonly choices: readonly KnapsackChoice[];
  readonly smallestBytes: number;
  readonly largestBytes: number;
}

/** Tensors of a transformer: few distinct sizes, log-normal sensitivities, loss falling by 4 a bit, with scatter. */
export function transformerLike(seed: number, tensors: number, schemes: number): Instance {
  const random = randomFrom(seed);
  const sizes = [1, 1, 1, 4, 4, 11, 11, 40].map((size) => size * 65536 * (1 + Math.floor(random() * 3)));
  const choices = Array.from({ length: tensors }, () => {
    const weights = sizes[Math.floor(random() * sizes.length)];
    const sensitivity = weights * 1e-7 * Math.exp(1.3 * gaussian(random));
    const candidates = bitsPerWeight.slice(0, schemes).map((bits) => ({
      bytes: (Math.ceil((weights * bits) / 8 / 32) * 32) as number,
      klNats: sensitivity * 4 ** -bits * Math.exp(0.25 * gaussian(random)),
    }));
    return { candidates };
  });
  return withRange(choices);
}

/** Two large tables, and experts of one size whose prices differ little but for their sensitivity. */
export function mixtureLike(seed: number, tensors: number, schemes: number): Instance {
  const random = randomFrom(seed);
  const quality = bitsPerWeight.map(() => Math.exp(0.2 * gaussian(random)));
  const choices = Array.from({ length: tensors }, (_, index) => {
    const weights = 65536 * (index < 2 ? 200 : 1);
    const sensitivity = weights * 1e-7 * Math.exp(1.3 * gaussian(random));
    const candidates = bitsPerWeight.slice(0, schemes).map((bits, scheme) => ({
      bytes: Math.ceil((weights * bits) / 8 / 32) * 32,
      klNats: sensitivity * quality[scheme] * 4 ** -bits * Math.exp(0.05 * gaussian(random)),
    }));
    return { candidates };
  });
  return withRange(choices);
}

export function withRange(choices: readonly KnapsackChoice[]): Instance {
  const sum = (pick: (...bytes: number[]) => number) =>
    choices.reduce((total, { candidates }) => total + pick(...candidates.map(({ bytes }) => bytes)), 0);
  return { choices, smallestBytes: sum(Math.min), largestBytes: sum(Math.max) };
}

/** A capacity at this share of the way from the smallest to the largest plan. */
export function capacityAt(instance: Instance, share: number): number {
  const { smallestBytes, largestBytes } = instance;
  return Math.floor(smallestBytes + share * (largestBytes - smallestBytes));
}
