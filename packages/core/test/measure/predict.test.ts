import { assert as assertProperty, double, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fitKl, type MeasuredPlan, predictKl } from '../../src/measure/whole-plans/predict.js';
import { mulberry32 } from '../../src/measure/mulberry32.js';

/** Plans of a model whose losses are S (a + b S) times a relative error, told apart over sequences. */
function plansOf(a: number, b: number, noise: number, seed: number, count = 8): MeasuredPlan[] {
  const uniform = mulberry32(seed);
  return Array.from({ length: count }, (_, index) => {
    const priceSum = 0.002 * 2.1 ** index;
    const error = 1 + noise * (2 * uniform() - 1);
    const klNats = priceSum * (a + b * priceSum) * error;
    const sequenceKlNats = Array.from({ length: 8 }, (_sequence, at) => klNats * (at % 2 === 0 ? 0.9 : 1.1));
    return { priceSum, sequenceKlNats };
  });
}

describe('the loss of whole plans', () => {
  it('is fitted exactly where it has the form', () => {
    assertProperty(
      property(double({ min: 0.5, max: 2, noNaN: true }), double({ min: 0, max: 3, noNaN: true }), (a, b) => {
        const fit = fitKl(plansOf(a, b, 0, 1), 1);
        expect(fit.a).toBeCloseTo(a, 6);
        expect(fit.b).toBeCloseTo(b, 5);
        expect(fit.relativeError).toBeLessThan(1e-6);
        const { klNats, low, high } = predictKl(fit, 0.05);
        expect(klNats).toBeCloseTo(0.05 * (a + b * 0.05), 8);
        expect(low).toBeLessThanOrEqual(klNats);
        expect(high).toBeGreaterThanOrEqual(klNats);
      }),
    );
  });

  it('lies in its interval nine times in ten', () => {
    let inside = 0;
    const trials = 200;
    for (let seed = 0; seed < trials; seed++) {
      const [left, ...others] = plansOf(1.05, 0.7, 0.08, seed, 20).toSorted(
        (x, y) => Number(x.priceSum > 0.1) - Number(y.priceSum > 0.1),
      );
      const { low, high } = predictKl(fitKl(others, seed), left.priceSum);
      const truth = left.sequenceKlNats.reduce((sum, value) => sum + value, 0) / left.sequenceKlNats.length;
      if (low <= truth && truth <= high) inside++;
    }
    expect(inside / trials).toBeGreaterThan(0.8);
    expect(inside / trials).toBeLessThan(1);
  });

  it('is the same for the same seed', () => {
    const plans = plansOf(1, 0.5, 0.05, 3);
    expect(fitKl(plans, 5)).toEqual(fitKl(plans, 5));
    expect(fitKl(plans, 5).draws).not.toEqual(fitKl(plans, 6).draws);
  });

  it('needs two plans, on the same sequences, with a loss', () => {
    const [first, second] = plansOf(1, 0.5, 0, 1);
    const message = /expected two or more plans/;
    expect(() => fitKl([first], 1)).toThrow(message);
    expect(() => fitKl([first, { ...second, sequenceKlNats: [0.1] }], 1)).toThrow(message);
    expect(() =>
      fitKl([first, { ...second, sequenceKlNats: second.sequenceKlNats.map(() => 0) }], 1),
    ).toThrow(message);
  });
});
