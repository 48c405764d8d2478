import { expect, test } from 'vitest';
import { pairedDifference, surelyLess } from '../../src/refine/paired.js';

test('what is hard about a sequence falls out of the difference', () => {
  const hard = [0.05, 0.4, 0.02, 0.1];
  const difference = pairedDifference(
    hard.map((nats) => nats - 0.001),
    hard,
  );
  expect(difference.nats).toBeCloseTo(-0.001, 12);
  expect(difference.standardError).toBeLessThan(1e-12);
  expect(surelyLess(difference)).toBe(true);
});

test('a difference within two standard errors is none', () => {
  const difference = pairedDifference([1, 2, 3, 4], [1.1, 2.3, 2.9, 4.1]);
  // Differences -0.1, -0.3, 0.1, -0.1: mean -0.1, standard error 0.0816.
  expect(difference.nats).toBeCloseTo(-0.1, 12);
  expect(difference.standardError).toBeCloseTo(Math.sqrt(0.08 / 12), 12);
  expect(surelyLess(difference)).toBe(false);
  expect(surelyLess({ nats: -0.1, standardError: 0.049 })).toBe(true);
});

test('of one sequence nothing is sure', () => {
  expect(surelyLess(pairedDifference([1], [2]))).toBe(false);
});
