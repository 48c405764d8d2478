import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mulberry32 } from '../../src/run/mulberry32.js';
import { bytesOf, genomeOf, priceSumOf } from '../../src/refine/assignment.js';
import { crossBlocks } from '../../src/refine/evolve/crossover.js';
import { switchLevels } from '../../src/refine/evolve/mutation.js';
import { evolveSettings } from '../../src/refine/evolve/options.js';
import { neighbours } from '../../src/refine/evolve/seeds.js';
import { fill, repair, type SearchSpace } from '../../src/refine/genes.js';
import { expectFailure } from '../support/errors.js';
import { solvedOf, spaceOf } from './spaces.js';

const seeds = fc.integer({ min: 1, max: 1e6 });
const shares = fc.double({ min: 0, max: 1, noNaN: true });
const queries = ['blk.0.attn_q.weight', 'blk.0.attn_k.weight', 'blk.0.attn_v.weight'];

/** Any candidates at all, within the budget or not. */
function anyPlan({ choices }: SearchSpace, seed: number): number[] {
  const random = mulberry32(seed);
  return choices.map(({ candidates }) => Math.floor(random() * candidates.length));
}

function isLegal({ choices }: SearchSpace, plan: readonly number[]): boolean {
  return plan.every((index, choice) => choices[choice].candidates[index] !== undefined);
}

const schemeOf = ({ choices }: SearchSpace, plan: readonly number[], tensor: string): string | undefined => {
  const place = choices.findIndex((choice) => choice.tensor === tensor);
  return choices[place].candidates[plan[place]].scheme;
};

describe('a switch of levels', () => {
  test('keeps to the budget, changes something, and uses the bytes there are', () => {
    fc.assert(
      fc.property(seeds, shares, (seed, share) => {
        const space = spaceOf(seed, share);
        const plan = solvedOf(space);
        const next = switchLevels(space, plan, mulberry32(seed));
        if (next === null) return;
        expect(isLegal(space, next)).toBe(true);
        expect(bytesOf(space.choices, next)).toBeLessThanOrEqual(space.capacityBytes);
        expect(next).not.toEqual(plan);
      }),
      { numRuns: 60 },
    );
  });

  test('is the same for the same seed, and takes what prices call hopeless almost never', () => {
    const space = spaceOf(1, 0.3);
    const plan = solvedOf(space);
    const draw = (seed: number) => switchLevels(space, plan, mulberry32(seed));
    expect(draw(7)).toEqual(draw(7));
    const base = priceSumOf(space.choices, plan);
    const losses = Array.from({ length: 100 }, (_, seed) => draw(seed + 1)!).map(
      (next) => priceSumOf(space.choices, next) / base - 1,
    );
    expect(new Set(losses).size).toBeGreaterThan(20);
    const sorted = losses.toSorted((a, b) => a - b);
    expect(sorted[0]).toBeGreaterThan(-1e-9);
    expect(sorted[50]).toBeLessThan(0.03);
  });

  test('moves tensors that must share a scheme together', () => {
    const space = spaceOf(3, 0.4, [queries]);
    const random = mulberry32(1);
    let plan: readonly number[] = solvedOf(space);
    for (let step = 0; step < 40; step++) {
      plan = switchLevels(space, plan, random) ?? plan;
      expect(new Set(queries.map((tensor) => schemeOf(space, plan, tensor))).size).toBe(1);
    }
  });
});

describe('repairing and filling', () => {
  test('bring any plan to the budget, and never raise its price again', () => {
    fc.assert(
      fc.property(seeds, shares, seeds, (seed, share, planSeed) => {
        const space = spaceOf(seed, share);
        const plan = anyPlan(space, planSeed);
        repair(space, plan);
        expect(bytesOf(space.choices, plan)).toBeLessThanOrEqual(space.capacityBytes);
        const price = priceSumOf(space.choices, plan);
        fill(space, plan);
        expect(bytesOf(space.choices, plan)).toBeLessThanOrEqual(space.capacityBytes);
        expect(priceSumOf(space.choices, plan)).toBeLessThanOrEqual(price);
      }),
      { numRuns: 60 },
    );
  });
});

describe('crossover', () => {
  test('keeps to the budget whatever the parents are', () => {
    fc.assert(
      fc.property(seeds, shares, (seed, share) => {
        const space = spaceOf(seed, share);
        const parents = [anyPlan(space, seed + 1), anyPlan(space, seed + 2)] as const;
        const child = crossBlocks(space, ...parents, mulberry32(seed));
        expect(isLegal(space, child)).toBe(true);
        expect(bytesOf(space.choices, child)).toBeLessThanOrEqual(space.capacityBytes);
      }),
      { numRuns: 40 },
    );
  });

  test('takes blocks whole from either parent, about half from each', () => {
    const space = spaceOf(5, 1);
    const [first, second] = [
      space.choices.map(() => 0),
      space.choices.map((choice) => choice.candidates.length - 1),
    ];
    const random = mulberry32(2);
    // Without a budget to keep to and with nothing to gain, the child is what crossing made it.
    const free = { ...space, capacityBytes: 0, genes: space.genes.map((gene) => ({ ...gene, levels: [] })) };
    let fromSecond = 0;
    for (let round = 0; round < 50; round++) {
      const child = crossBlocks(free, first, second, random);
      for (const block of [0, 1, 2]) {
        const members = space.genes.filter((gene) => gene.block === block).flatMap((gene) => gene.members);
        const parents = new Set(
          members.filter((m) => first[m] !== second[m]).map((m) => child[m] === second[m]),
        );
        expect(parents.size).toBe(1);
        if (parents.has(true)) fromSecond++;
      }
    }
    expect(fromSecond).toBeGreaterThan(50);
    expect(fromSecond).toBeLessThan(100);
  });
});

test('neighbours are within the budget, different from each other and from what is there', () => {
  const space = spaceOf(11, 0.35);
  const plan = solvedOf(space);
  const found = neighbours(space, plan, [plan], 18, mulberry32(3));
  const genomes = [plan, ...found].map((each) => genomeOf(space.choices, each));
  expect(found).toHaveLength(18);
  expect(new Set(genomes).size).toBe(19);
  for (const each of found) expect(bytesOf(space.choices, each)).toBeLessThanOrEqual(space.capacityBytes);
  expect(neighbours(space, plan, [plan], 18, mulberry32(3))).toEqual(found);
});

test('a space with nothing to choose has no neighbours', () => {
  const space = spaceOf(11, 0);
  expect(neighbours(space, solvedOf(space), [solvedOf(space)], 5, mulberry32(3))).toEqual([]);
});

test.each([
  [{ population: 1 }, /whole number of at least 2 as population of the search, found 1$/],
  [{ generations: 1.5 }, /whole number of at least 0 as generations of the search, found 1\.5$/],
  [{ mutation: 2 }, /number from 0 to 1 as mutation of the search, found 2$/],
  [{ elite: Number.NaN }, /as elite of the search, found NaN$/],
])('%j is refused', async (options, message) => {
  await expectFailure(() => evolveSettings(options), 'arguments', 'SEARCH_INVALID', message);
});
