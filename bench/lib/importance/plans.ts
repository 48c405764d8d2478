/** @file Plans over the ladder: random mixtures of a wanted size, and the best by given prices. */
import { bitsOf, solve, type SourceModel, storedBytes, type Variant } from '@bitsmith/core';
import { randomWords } from '../random.js';
import type { Pair } from './ladder.js';

/** A scheme for every tensor of the ladder. */
export interface LadderPlan {
  readonly id: string;
  readonly picks: readonly Pair[];
  readonly bitsPerWeight: number;
}

export class PlanSpace {
  private readonly options: readonly (readonly Pair[])[];
  private readonly parameterCount: number;
  /** Of the tensors that stay as they are. */
  private readonly keptBytes: number;

  constructor(model: SourceModel, pairs: readonly Pair[]) {
    const byTensor = new Map<string, Pair[]>();
    for (const pair of pairs) {
      const known = byTensor.get(pair.tensor.name);
      if (known === undefined) byTensor.set(pair.tensor.name, [pair]);
      else known.push(pair);
    }
    this.options = [...byTensor.values()];
    this.parameterCount = model.parameterCount;
    this.keptBytes = model.tensors
      .filter(({ name }) => !byTensor.has(name))
      .reduce((sum, { type, shape }) => sum + storedBytes(type, shape), 0);
  }

  /** The smallest and largest bits per weight. */
  range(): { least: number; most: number } {
    return {
      least: this.planOf(
        'least',
        this.options.map((pairs) => pairs[0]),
      ).bitsPerWeight,
      most: this.planOf(
        'most',
        this.options.map((pairs) => pairs[pairs.length - 1]),
      ).bitsPerWeight,
    };
  }

  /** Seeded mixtures with sizes evenly spaced from `least` to `most` bits per weight. */
  randomPlans(count: number, least: number, most: number, seed: number): LadderPlan[] {
    const words = randomWords(seed);
    const uniform = (): number => words() / 2 ** 32;
    return Array.from({ length: count }, (_, index) => {
      const target = least + ((most - least) * (index + 0.5)) / count;
      return this.randomPlan(`random ${seed} ${index}`, target, uniform);
    });
  }

  /** The plan of least price within so many bits per weight. Prices may have any unit. */
  bestPlan(id: string, bits: number, price: (pair: Pair) => number): LadderPlan {
    const choices = this.options.map((pairs) => ({
      candidates: pairs.map((pair) => ({ bytes: bytesOf(pair), klNats: price(pair) })),
      direct: pairs[0].tensor.role === 'output-head',
    }));
    const capacity = Math.floor((bits * this.parameterCount) / 8) - this.keptBytes;
    const { picked } = solve(choices, capacity);
    return this.planOf(
      id,
      this.options.map((pairs, index) => pairs[picked[index]]),
    );
  }

  private planOf(id: string, picks: readonly Pair[]): LadderPlan {
    const bytes = picks.reduce((sum, pair) => sum + bytesOf(pair), this.keptBytes);
    return { id, picks, bitsPerWeight: (bytes * 8) / this.parameterCount };
  }

  /** Draws schemes near the size or far from it, as much as this plan's spread says, then steps until it fits. */
  private randomPlan(id: string, target: number, uniform: () => number): LadderPlan {
    const spread = LEAST_SPREAD + (MOST_SPREAD - LEAST_SPREAD) * uniform();
    const centre = this.centreFor(target, spread);
    const pick = (pairs: readonly Pair[]): Pair => draw(pairs, shares(pairs, centre, spread), uniform());
    let plan = this.planOf(id, this.options.map(pick));
    for (let step = 0; step < STEPS && Math.abs(plan.bitsPerWeight - target) > TOLERANCE; step++) {
      const at = Math.floor(uniform() * this.options.length);
      const other = this.planOf(id, plan.picks.with(at, pick(this.options[at])));
      if (Math.abs(other.bitsPerWeight - target) < Math.abs(plan.bitsPerWeight - target)) plan = other;
    }
    return plan;
  }

  /** By bisection: the expected size grows with the centre. */
  private centreFor(target: number, spread: number): number {
    let [low, high] = [-40, 60];
    for (let step = 0; step < 60; step++) {
      const centre = (low + high) / 2;
      const bytes = this.options.reduce(
        (sum, pairs) =>
          sum +
          shares(pairs, centre, spread).reduce(
            (expected, share, index) => expected + share * bytesOf(pairs[index]),
            0,
          ),
        this.keptBytes,
      );
      if ((bytes * 8) / this.parameterCount < target) low = centre;
      else high = centre;
    }
    return (low + high) / 2;
  }
}

/** Bits per weight: what schemes of one random plan differ by, about. Some plans mix neighbours, some everything. */
const LEAST_SPREAD = 0.5;
const MOST_SPREAD = 2;

/** Bits per weight that a random plan may miss its size by, and how long it is improved. */
const TOLERANCE = 0.02;
const STEPS = 1000;

/** What one plan changes in the live model. */
export function variantOf({ id, picks }: LadderPlan): Variant {
  return {
    id,
    changes: picks.map(({ tensor, scheme }) => ({ tensor: tensor.name, change: { kind: 'scheme', scheme } })),
  };
}

function bytesOf({ tensor, scheme }: Pair): number {
  return storedBytes(scheme, tensor.shape);
}

/** Probabilities of the schemes: a bell around the centre. */
function shares(pairs: readonly Pair[], centre: number, spread: number): number[] {
  const exponents = pairs.map(({ scheme }) => -((bitsOf(scheme) - centre) ** 2) / (2 * spread ** 2));
  const largest = Math.max(...exponents);
  const weights = exponents.map((exponent) => Math.exp(exponent - largest));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

function draw(pairs: readonly Pair[], probabilities: readonly number[], at: number): Pair {
  let passed = 0;
  const found = probabilities.findIndex((share) => (passed += share) > at);
  return pairs[found < 0 ? pairs.length - 1 : found];
}
