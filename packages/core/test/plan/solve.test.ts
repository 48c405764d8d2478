import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { solve } from '../../src/plan/solve.js';
import type { KnapsackChoice } from '../../src/plan/solve.js';
import { randomFrom } from '../support/random.js';
import { capacityAt, mixtureLike, transformerLike, withRange } from './instances.js';
import type { Instance } from './instances.js';

/** The least nats of all plans that fit, by trying every one. */
function bruteForce(choices: readonly KnapsackChoice[], capacity: number): number {
  const search = (choice: number, bytes: number, nats: number): number => {
    if (bytes > capacity) return Infinity;
    if (choice === choices.length) return nats;
    return Math.min(
      ...choices[choice].candidates.map((item) => search(choice + 1, bytes + item.bytes, nats + item.klNats)),
    );
  };
  return search(0, 0, 0);
}

/** Milliseconds of processor time of the quickest of some runs: what the solver needs when nothing else runs. */
function quickest(instance: Instance, repeats: number): number {
  const times = Array.from({ length: repeats }, () => {
    const start = process.cpuUsage();
    expect(solve(instance.choices, capacityAt(instance, 0.2)).gap).toBeLessThan(1e-3);
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1000;
  });
  return Math.min(...times);
}

const candidate = fc.record({
  bytes: fc.integer({ min: 0, max: 40 }),
  klNats: fc.integer({ min: 0, max: 50 }),
});
const tinyChoices = fc.array(fc.record({ candidates: fc.array(candidate, { minLength: 1, maxLength: 5 }) }), {
  minLength: 1,
  maxLength: 6,
});
/** One choice's sizes are far larger than the others', as an embedding's among small matrices. */
const unevenChoices = fc
  .tuple(tinyChoices, fc.integer({ min: 5, max: 400 }))
  .map(([[first, ...others], factor]): KnapsackChoice[] => {
    const scaled = first.candidates.map(({ bytes, klNats }) => ({
      bytes: bytes * factor,
      klNats: klNats * factor,
    }));
    return [...others, { candidates: scaled }];
  });
const share = fc.double({ min: 0, max: 1, noNaN: true });

describe('solve', () => {
  it('finds what trying every plan finds', () => {
    fc.assert(
      fc.property(tinyChoices, share, (choices, part) => {
        const capacity = capacityAt(withRange(choices), part);
        const solution = solve(choices, capacity);
        expect(solution.klNats).toBe(bruteForce(choices, capacity));
        expect(solution.bytes).toBeLessThanOrEqual(capacity);
        expect(solution.gap).toBe(0);
      }),
      { numRuns: 2000 },
    );
  });

  it('finds it where one choice outweighs the others', () => {
    fc.assert(
      fc.property(unevenChoices, share, (choices, part) => {
        const capacity = capacityAt(withRange(choices), part);
        const solution = solve(choices, capacity);
        expect(solution.klNats).toBe(bruteForce(choices, capacity));
        expect(solution.gap).toBe(0);
      }),
      { numRuns: 1000 },
    );
  });

  it('stays feasible, and its bound stays true, when it may hardly search', () => {
    const workLimits = fc.integer({ min: 0, max: 200 });
    fc.assert(
      fc.property(fc.oneof(tinyChoices, unevenChoices), share, workLimits, (choices, part, workLimit) => {
        const capacity = capacityAt(withRange(choices), part);
        const best = bruteForce(choices, capacity);
        const solution = solve(choices, capacity, { workLimit });
        expect(solution.bytes).toBeLessThanOrEqual(capacity);
        expect(solution.klNats).toBeGreaterThanOrEqual(best);
        expect(solution.lowerBound).toBeLessThanOrEqual(best + 1e-9);
        if (solution.gap === 0) expect(solution.klNats).toBe(best);
      }),
      { numRuns: 2000 },
    );
  });

  it('never loses less in fewer bytes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e6 }), share, share, (seed, a, b) => {
        const instance = transformerLike(seed, 20, 12);
        const small = solve(instance.choices, capacityAt(instance, Math.min(a, b)));
        const large = solve(instance.choices, capacityAt(instance, Math.max(a, b)));
        expect(large.klNats).toBeLessThanOrEqual(small.klNats * (1 + 1e-9));
      }),
      { numRuns: 100 },
    );
  });

  it('answers the same for the same input', () => {
    const instance = transformerLike(7, 120, 25);
    const capacity = capacityAt(instance, 0.2);
    expect(solve(instance.choices, capacity)).toEqual(solve(structuredClone(instance.choices), capacity));
  });

  it('prefers fewer bytes, then the earlier candidate, at the same cost', () => {
    const candidates = [
      { bytes: 96, klNats: 1 },
      { bytes: 64, klNats: 1 },
      { bytes: 64, klNats: 1 },
    ];
    expect(solve([{ candidates }], 1000).picked).toEqual([1]);
  });

  it('takes the cheapest of everything when all fits', () => {
    const { choices, largestBytes } = transformerLike(3, 30, 25);
    const solution = solve(choices, largestBytes * 2);
    const least = choices.map(({ candidates }) => Math.min(...candidates.map(({ klNats }) => klNats)));
    expect(solution.klNats).toBeCloseTo(
      least.reduce((a, b) => a + b, 0),
      15,
    );
    expect(solution).toMatchObject({ gap: 0, natsPerByte: 0 });
  });

  it('refuses a capacity below the smallest plan', () => {
    const { choices, smallestBytes } = transformerLike(3, 5, 4);
    expect(() => solve(choices, smallestBytes - 1)).toThrowError(
      expect.objectContaining({ code: 'BUDGET_IMPOSSIBLE', kind: 'budget-impossible' }),
    );
    expect(solve(choices, smallestBytes).bytes).toBe(smallestBytes);
  });

  it('refuses candidates without a price', () => {
    const refused = expect.objectContaining({ code: 'PLAN_CANDIDATES' });
    expect(() => solve([{ candidates: [] }], 10)).toThrowError(refused);
    expect(() => solve([{ candidates: [{ bytes: 1, klNats: Number.NaN }] }], 10)).toThrowError(refused);
    expect(() => solve([{ candidates: [{ bytes: 0.5, klNats: 0 }] }], 10)).toThrowError(refused);
  });

  it.each([
    ['the bundled model', 58, 25],
    ['a small model', 200, 25],
    ['a large model', 300, 40],
  ])('proves its plan for %s (%i tensors, %i schemes)', (_, tensors, schemes) => {
    const gaps = Array.from({ length: 20 }, (_unused, index) => {
      const instance = transformerLike(index + 1, tensors, schemes);
      return solve(instance.choices, capacityAt(instance, 0.02 + 0.02 * index)).gap;
    });
    expect(Math.max(...gaps)).toBeLessThan(1e-3);
    expect(gaps.filter((gap) => gap === 0).length).toBeGreaterThanOrEqual(18);
  });

  it('is hard to fool: prices that follow the bytes almost exactly', () => {
    const random = randomFrom(11);
    const choices = Array.from({ length: 58 }, () => {
      const weights = 65536 * (1 + Math.floor(random() * 9));
      const candidates = [2, 3, 4, 5, 6, 8].map((bits) => ({
        bytes: Math.ceil((weights * bits * (1 + 0.1 * random())) / 256) * 32,
        klNats: 1e-9 * weights * (9 - bits) * (1 + 0.01 * random()),
      }));
      return { candidates };
    });
    const instance = withRange(choices);
    const solution = solve(choices, capacityAt(instance, 0.4));
    expect(solution.gap).toBeLessThan(1e-3);
  });

  it('proves its plan where two tables hold most of the bytes, among hundreds of equal experts', () => {
    const gaps = [1, 2, 3, 4].flatMap((seed) => {
      const instance = mixtureLike(seed, 300, 40);
      return [0.02, 0.06, 0.12, 0.2].map((part) => solve(instance.choices, capacityAt(instance, part)).gap);
    });
    expect(Math.max(...gaps)).toBeLessThan(1e-3);
  });

  it('is quick: 300 x 40 under 50 ms, 10,000 x 40 under 2 s', () => {
    expect(quickest(transformerLike(1, 300, 40), 10)).toBeLessThan(50);
    expect(quickest(transformerLike(1, 10_000, 40), 2)).toBeLessThan(2000);
  });
});
