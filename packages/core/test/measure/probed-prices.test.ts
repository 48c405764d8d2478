import { describe, expect, test } from 'vitest';
import { factorAt, pointOf } from '../../src/measure/gradients/probed-prices.js';

const price = (klNats: number) => ({ klNats, standardError: 0 });

describe('prices set right by true losses', () => {
  test('a sure probe is believed, an unsure one half where it is as unsure as the price', () => {
    expect(pointOf(price(0.01), { klNats: 0.012, standardError: 0 })).toEqual([
      { klNats: 0.01, factor: expect.closeTo(1.2, 12) as number },
    ]);
    const [{ factor }] = pointOf(price(0.01), { klNats: 0.012, standardError: 0.15 * 0.012 });
    expect(factor).toBeCloseTo(1.1, 12);
  });

  test('where nothing is lost there is nothing to compare', () => {
    expect(pointOf(price(0), { klNats: 0.1, standardError: 0 })).toEqual([]);
    expect(pointOf(price(0.1), { klNats: 0, standardError: 0 })).toEqual([]);
    expect(factorAt(0.3, [])).toBe(1);
  });

  test('between probes by the logarithm, beyond them as at the nearer one, in any order', () => {
    const points = [
      { klNats: 1e-2, factor: 1.3 },
      { klNats: 1e-4, factor: 0.9 },
    ];
    expect(factorAt(1e-3, points)).toBeCloseTo(1.1, 12);
    expect(factorAt(1e-2, points)).toBeCloseTo(1.3, 12);
    expect(factorAt(1, points)).toBe(1.3);
    expect(factorAt(1e-9, points)).toBe(0.9);
    expect(factorAt(5, points.slice(1))).toBe(0.9);
  });
});
