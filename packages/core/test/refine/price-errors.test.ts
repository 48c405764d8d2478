import { describe, expect, test } from 'vitest';
import { mulberry32 } from '../../src/run/mulberry32.js';
import { drawNormal } from '../../src/refine/evolve/draw.js';
import { type PlanEvidence, PriceErrors } from '../../src/refine/evolve/price-errors.js';

const genes = 40;
const priceError = 0.15;

/** Prices off by factors; plans that move a few genes each way, measured with noise. */
function experiment(plans: number, noise: number, seed = 1) {
  const random = mulberry32(seed);
  const truth = Float64Array.from({ length: genes }, () => 1 + priceError * drawNormal(random));
  const evidence = Array.from({ length: plans }, (): PlanEvidence => {
    const moved = Float64Array.from({ length: genes }, () =>
      random() < 0.1 ? 1e-4 * drawNormal(random) : 0,
    );
    const exact = moved.reduce((sum, value, gene) => sum + value * truth[gene], 0);
    return { moved, nats: exact + noise * drawNormal(random), standardError: noise };
  });
  return { truth, evidence, random };
}

const distance = (a: Float64Array, b: Float64Array): number =>
  Math.sqrt(a.reduce((sum, value, gene) => sum + (value - b[gene]) ** 2, 0) / genes);
const ones = new Float64Array(genes).fill(1);

describe('factors of prices', () => {
  test('are 1 as long as nothing is measured', () => {
    const errors = new PriceErrors([], genes, priceError);
    expect(errors.factors).toEqual(ones);
    expect(errors.expected(new Float64Array(genes).fill(2e-5))).toBeCloseTo(genes * 2e-5, 12);
  });

  test('are found from many noisy measurements, the better the more there are', () => {
    const { truth, evidence } = experiment(200, 1e-5);
    const off = [20, 60, 200].map((count) =>
      distance(new PriceErrors(evidence.slice(0, count), genes, priceError).factors, truth),
    );
    expect(distance(ones, truth)).toBeGreaterThan(0.1);
    expect(off[0]).toBeLessThan(distance(ones, truth));
    expect(off[1]).toBeLessThan(off[0]);
    expect(off[2]).toBeLessThan(0.06);
  });

  test('stay where they were when measurements are nothing but noise', () => {
    const { evidence } = experiment(50, 1e-2);
    expect(distance(new PriceErrors(evidence, genes, priceError).factors, ones)).toBeLessThan(0.01);
  });

  test('agree with what was measured exactly', () => {
    const { evidence } = experiment(10, 1e-12);
    const balanced = evidence.map(({ moved, ...rest }) => {
      // Without a change of the whole price, nothing counts as curvature.
      const rounded = moved.slice();
      const sum = rounded.reduce((total, value) => total + value, 0);
      rounded[0] -= sum;
      return { ...rest, moved: rounded };
    });
    const errors = new PriceErrors(balanced, genes, priceError);
    for (const { moved, nats } of balanced) expect(errors.expected(moved)).toBeCloseTo(nats, 9);
  });
});

test('draws spread around the factors by what is left open', () => {
  const { evidence, random } = experiment(200, 1e-5);
  const errors = new PriceErrors(evidence, genes, priceError);
  const draws = Array.from({ length: 300 }, () => errors.draw(random));
  const mean = Float64Array.from(
    { length: genes },
    (_, gene) => draws.reduce((sum, draw) => sum + draw[gene], 0) / draws.length,
  );
  expect(distance(mean, errors.factors)).toBeLessThan(0.01);
  const spread = Math.sqrt(
    draws.reduce((sum, draw) => sum + distance(draw, errors.factors) ** 2, 0) / draws.length,
  );
  expect(spread).toBeGreaterThan(0.01);
  expect(spread).toBeLessThan(0.07);
  const open = new PriceErrors([], genes, priceError);
  expect(distance(open.draw(mulberry32(5)), ones)).toBeGreaterThan(0.1);
  expect(open.draw(mulberry32(5))).toEqual(open.draw(mulberry32(5)));
});
