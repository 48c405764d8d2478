import { assert as assertProperty, double, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fitKl, type MeasuredPlan, predictKl } from '../../src/measure/whole-plans/predict.js';
import { mulberry32 } from '../../src/run/mulberry32.js';

/** Plans of a model whose losses are a S + b D^2.5 times a relative error, told apart over sequences; the head's share varies. */
function plansOf(a: number, b: number, noise: number, seed: number, count = 8): MeasuredPlan[] {
  const uniform = mulberry32(seed);
  return Array.from({ length: count }, (_, index) => {
    const priceSum = 0.002 * 2.1 ** index;
    const error = 1 + noise * (2 * uniform() - 1);
    const bodySum = priceSum * (index % 3 === 0 ? 0.6 : 0.95);
    const klNats = (a * priceSum + b * bodySum ** 2.5) * error;
    const sequenceKlNats = Array.from({ length: 8 }, (_sequence, at) => klNats * (at % 2 === 0 ? 0.9 : 1.1));
    return { priceSum, bodySum, sequenceKlNats };
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
        const { klNats, low, high } = predictKl(fit, { priceSum: 0.05, bodySum: 0.04 });
        expect(klNats).toBeCloseTo(0.05 * a + b * 0.04 ** 2.5, 8);
        // The head's own loss is not carried on by anything.
        expect(predictKl(fit, { priceSum: 0.05, bodySum: 0 }).klNats).toBeCloseTo(0.05 * a, 8);
        expect(low).toBeLessThanOrEqual(klNats);
        expect(high).toBeGreaterThanOrEqual(klNats);
      }),
    );
  });

  it('lies in its interval nine times in ten', () => {
    let inside = 0;
    const trials = 200;
    for (let seed = 0; seed < trials; seed++) {
      const others = plansOf(1.05, 0.7, 0.08, seed, 12);
      const [left] = others.splice(5, 1);
      const { low, high } = predictKl(fitKl(others, seed), left);
      const truth = left.sequenceKlNats.reduce((sum, value) => sum + value, 0) / left.sequenceKlNats.length;
      if (low <= truth && truth <= high) inside++;
    }
    expect(inside / trials).toBeGreaterThan(0.8);
    expect(inside / trials).toBeLessThan(1);
  });

  it('goes straight on beyond the plans it was fitted to', () => {
    const fit = fitKl(plansOf(1, 2, 0, 1), 1);
    const at = (bodySum: number): number => predictKl(fit, { priceSum: 0, bodySum }).klNats;
    const most = fit.mostBodySum;
    expect(at(most)).toBeCloseTo(2 * most ** 2.5, 8);
    const slope = 2 * 2.5 * most ** 1.5;
    expect(at(3 * most) - at(most)).toBeCloseTo(2 * most * slope, 8);
    expect((at(most) - at(most - 1e-6)) / 1e-6).toBeCloseTo(slope, 3);
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
