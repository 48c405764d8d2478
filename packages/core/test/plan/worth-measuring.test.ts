import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pricesNear, solve } from '../../src/plan/solve.js';
import type { Candidate, Choice } from '../../src/plan/types.js';
import { worthMeasuring } from '../../src/plan/worth-measuring.js';
import { capacityAt, transformerLike, withRange } from './instances.js';

/** Choices with all candidates; the cheapest three of each are the ones that could be left unmeasured. */
function fullChoices(seed: number, tensors: number): readonly Choice[] {
  return transformerLike(seed, tensors, 12).choices.map(({ candidates }, index) => ({
    tensor: `t${index}`,
    constraint: null,
    candidates: candidates.map((item, scheme): Candidate => ({ ...item, scheme: `s${scheme}` })),
  }));
}

const OPEN = 3;

function without(choice: Choice): Choice {
  return { ...choice, candidates: choice.candidates.slice(OPEN) };
}

describe('worthMeasuring', () => {
  it('never leaves out a candidate that the best plan needs', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e6 }),
        fc.integer({ min: 2, max: 25 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (seed, tensors, share, tightness) => {
          const full = fullChoices(seed, tensors);
          const capacity = capacityAt(withRange(full), share);
          const open = full.flatMap(({ tensor, candidates }) =>
            candidates
              .slice(0, OPEN)
              .map(({ scheme, bytes, klNats }) => ({ tensor, scheme, bytes, leastNats: klNats * tightness })),
          );
          const worth = worthMeasuring(full.map(without), open, capacity);
          const partial = full.map((choice) => (worth.has(choice.tensor) ? choice : without(choice)));
          expect(solve(partial, capacity).klNats).toBeLessThanOrEqual(
            solve(full, capacity).klNats * (1 + 1e-9),
          );
        },
      ),
      { numRuns: 200 },
    );
  });

  it('never leaves it out where the body amplifies what it loses and the head does not', () => {
    const lossAt = (choices: readonly Choice[], capacity: number): number =>
      pricesNear(choices, solve(choices, capacity).picked).klNats;
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e6 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (seed, share) => {
          // Losses of nats, where the bend is steep.
          const full = fullChoices(seed, 20).map((choice, index) => ({
            ...choice,
            direct: index === 0,
            candidates: choice.candidates.map((item) => ({ ...item, klNats: 20 * item.klNats })),
          }));
          const capacity = capacityAt(withRange(full), share);
          const open = full.flatMap(({ tensor, candidates }) =>
            candidates
              .slice(0, OPEN)
              .map(({ scheme, bytes, klNats }) => ({ tensor, scheme, bytes, leastNats: klNats })),
          );
          const worth = worthMeasuring(full.map(without), open, capacity);
          const partial = full.map((choice) => (worth.has(choice.tensor) ? choice : without(choice)));
          expect(lossAt(partial, capacity)).toBeLessThanOrEqual(lossAt(full, capacity) * (1 + 1e-3));
        },
      ),
      { numRuns: 100 },
    );
  });

  it('rules low bits out where the budget is generous', () => {
    const full = fullChoices(5, 40);
    const open = full.flatMap(({ tensor, candidates }) =>
      candidates
        .slice(0, OPEN)
        .map(({ scheme, bytes, klNats }) => ({ tensor, scheme, bytes, leastNats: klNats })),
    );
    const generous = worthMeasuring(full.map(without), open, capacityAt(withRange(full), 0.9));
    const tight = worthMeasuring(full.map(without), open, capacityAt(withRange(full), 0.05));
    expect(generous.size).toBeLessThan(5);
    expect(tight.size).toBeGreaterThan(35);
  });
});
