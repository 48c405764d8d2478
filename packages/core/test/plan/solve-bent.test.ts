import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { leastSum } from '../../src/plan/least-sum.js';
import { type KnapsackChoice, solve } from '../../src/plan/solve.js';
import { capacityAt, transformerLike, withRange } from './instances.js';

/** What the optimiser's file says a plan loses. */
function lossOf(choices: readonly KnapsackChoice[], picked: readonly number[]): number {
  const nats = choices.map(({ candidates }, choice) => candidates[picked[choice]].klNats);
  const through = nats.reduce(
    (sum, value, choice) => (choices[choice].direct === true ? sum : sum + value),
    0,
  );
  const curved = Math.min(through, 1 / 6);
  return nats.reduce((a, b) => a + b, 0) + 1.5 * curved ** 2 + 0.5 * (through - curved);
}

/** The least loss of all plans that fit, by trying every one. */
function bruteForce(choices: readonly KnapsackChoice[], capacity: number): number {
  const search = (picked: readonly number[], bytes: number): number => {
    if (bytes > capacity) return Infinity;
    if (picked.length === choices.length) return lossOf(choices, picked);
    return Math.min(
      ...choices[picked.length].candidates.map((item, index) =>
        search([...picked, index], bytes + item.bytes),
      ),
    );
  };
  return search([], 0);
}

const candidates = fc.array(
  fc.record({ bytes: fc.integer({ min: 0, max: 40 }), klNats: fc.double({ min: 0, max: 0.2, noNaN: true }) }),
  { minLength: 1, maxLength: 5 },
);
const withHead = fc.tuple(candidates, fc.array(candidates, { minLength: 1, maxLength: 5 }));

describe('plans where the body amplifies what it gets wrong and the head does not', () => {
  it('are bounded truly, and are not worse than the least sum', () => {
    let [best, all] = [0, 0];
    fc.assert(
      fc.property(withHead, fc.double({ min: 0, max: 1, noNaN: true }), ([head, body], share) => {
        const choices: KnapsackChoice[] = [
          { candidates: head, direct: true },
          ...body.map((each) => ({ candidates: each })),
        ];
        const capacity = capacityAt(withRange(choices), share);
        const { picked, klNats, gap, bytes } = solve(choices, capacity);
        const loss = lossOf(choices, picked);
        const least = bruteForce(choices, capacity);
        expect(bytes).toBeLessThanOrEqual(capacity);
        expect(klNats).toBeCloseTo(
          picked.reduce((sum, index, choice) => sum + choices[choice].candidates[index].klNats, 0),
          12,
        );
        expect(loss).toBeLessThanOrEqual(lossOf(choices, leastSum(choices, capacity).picked) + 1e-12);
        expect(loss * (1 - gap)).toBeLessThanOrEqual(least + 1e-9);
        all++;
        if (loss <= least + 1e-9) best++;
      }),
      { numRuns: 300, seed: 4 },
    );
    expect(best / all).toBeGreaterThan(0.97);
  });

  it('spare bytes at the head where the body loses much', () => {
    const { choices } = transformerLike(3, 60, 25);
    // A head of a fifth of the bytes, in a model that loses about a nat.
    const scaled = choices.map(({ candidates: each }) => ({
      candidates: each.map(({ bytes, klNats }) => ({ bytes, klNats: 20 * klNats })),
    }));
    const [head] = transformerLike(9, 1, 25).choices;
    const headed = [
      {
        candidates: head.candidates.map(({ bytes, klNats }) => ({ bytes: 40 * bytes, klNats: 200 * klNats })),
        direct: true,
      },
      ...scaled,
    ];
    const instance = withRange(headed);
    const found = Array.from({ length: 40 }, (_, index) => {
      const share = 0.02 + 0.01 * index;
      const capacity = capacityAt(instance, share);
      const [plain, bent] = [leastSum(headed, capacity), solve(headed, capacity)];
      expect(headed[0].candidates[bent.picked[0]].bytes).toBeLessThanOrEqual(
        headed[0].candidates[plain.picked[0]].bytes,
      );
      expect(bent.gap).toBeLessThan(0.01);
      return lossOf(headed, bent.picked) / lossOf(headed, plain.picked);
    });
    expect(Math.max(...found)).toBeLessThanOrEqual(1);
    expect(Math.min(...found)).toBeLessThan(0.98);
  });

  it('are the least sum where the model has no head of its own', () => {
    const instance = transformerLike(5, 40, 20);
    const capacity = capacityAt(instance, 0.2);
    expect(solve(instance.choices, capacity)).toEqual(leastSum(instance.choices, capacity));
  });
});
