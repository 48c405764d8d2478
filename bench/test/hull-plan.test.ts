import type { Candidate, Choice } from '@bitsmith/core';
import { describe, expect, it } from 'vitest';
import { hullPlan } from '../lib/quality/hull-plan.js';
import { randomWords } from '../lib/random.js';

const words = randomWords(7);
const uniform = (): number => words() / 2 ** 32;

/** Across all of a hull. */
const LARGEST_STEP = 5 * 60;

/** Prices fall with bytes, but not evenly: some candidates lie above the hull. */
function choiceOf(index: number): Choice {
  let bytes = 100 + Math.floor(100 * uniform());
  let klNats = 1 + uniform();
  const candidates = Array.from({ length: 6 }, (_, scheme): Candidate => {
    bytes += 10 + Math.floor(50 * uniform());
    klNats *= 0.3 + 0.6 * uniform();
    return { scheme: `S${scheme}`, bytes, klNats };
  });
  return { tensor: `t${index}`, candidates, constraint: null };
}

const choices = Array.from({ length: 12 }, (_, index) => choiceOf(index));

function totalsOf(plan: ReadonlyMap<string, string>): { bytes: number; klNats: number } {
  const taken = choices.map(({ tensor, candidates }) =>
    candidates.find(({ scheme }) => scheme === plan.get(tensor)),
  ) as Candidate[];
  return {
    bytes: taken.reduce((sum, { bytes }) => sum + bytes, 0),
    klNats: taken.reduce((sum, { klNats }) => sum + klNats, 0),
  };
}

/** The best plan where a byte costs so many nats. */
function relaxed(natsPerByte: number): ReadonlyMap<string, string> {
  const cost = ({ bytes, klNats }: Candidate): number => klNats + natsPerByte * bytes;
  return new Map(
    choices.map(({ tensor, candidates }) => [
      tensor,
      candidates.toSorted((a, b) => cost(a) - cost(b))[0].scheme,
    ]),
  );
}

describe('hullPlan', () => {
  it('loses as little as relaxation at every size that relaxation reaches', () => {
    for (let step = 0; step < 200; step++) {
      const best = totalsOf(relaxed(0.02 * 0.96 ** step));
      const found = totalsOf(hullPlan(choices, best.bytes));
      expect(found.klNats).toBeCloseTo(best.klNats, 12);
      expect(found.bytes).toBe(best.bytes);
    }
  });

  it('fits any size from the smallest plan up, and leaves less than a step', () => {
    const least = totalsOf(relaxed(1e9)).bytes;
    const most = totalsOf(relaxed(0)).bytes;
    for (let size = least; size < most; size += 13) {
      const { bytes } = totalsOf(hullPlan(choices, size));
      expect(bytes).toBeLessThanOrEqual(size);
      expect(size - bytes).toBeLessThan(LARGEST_STEP);
    }
  });
});
