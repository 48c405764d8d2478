import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { couplingGroups, mergeCoupled } from '../../src/plan/coupling.js';
import { paretoCurve } from '../../src/plan/pareto.js';
import { type PriceSums, priceSumsOf } from '../../src/plan/price-sums.js';
import { solve } from '../../src/plan/solve.js';
import { choicesOf, smallLlama } from './models.js';

const tensors = smallLlama(4);
const parameterCount = tensors.reduce((sum, { elements }) => sum + elements, 0);
const headerBytes = 3000;
const groups = couplingGroups(tensors, ['qkv', 'gate-up']);

const curveOf = (seed: number, coupled = false) => {
  const choices = choicesOf(tensors, undefined, seed);
  return { choices, ...paretoCurve({ choices, groups: coupled ? groups : [], headerBytes, parameterCount }) };
};

describe('paretoCurve', () => {
  it('loses less with every byte, from the smallest plan to the one that loses nothing', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.boolean(), (seed, coupled) => {
        const { points, curve } = curveOf(seed, coupled);
        for (const list of [points, curve]) {
          for (let index = 1; index < list.length; index++) {
            expect(list[index].bytes).toBeGreaterThan(list[index - 1].bytes);
            expect(list[index].klNats).toBeLessThan(list[index - 1].klNats);
          }
        }
        expect(points[0].bytes).toBe(curve[0].bytes);
        expect(curve.at(-1)?.priceSum).toBeCloseTo(0, 12);
      }),
      { numRuns: 30 },
    );
  });

  it('has corners that are the best plans of their sizes, where all is amplified alike', () => {
    const choices = choicesOf(tensors, undefined, 3).map((choice) => ({ ...choice, direct: false }));
    for (const coupled of [[], groups]) {
      const { curve } = paretoCurve({ choices, groups: coupled, headerBytes, parameterCount });
      const merged = mergeCoupled(choices, coupled);
      for (const { bytes, priceSum } of curve.filter((_, index) => index % 9 === 0)) {
        const solution = solve(merged, bytes - headerBytes);
        expect(solution.klNats).toBeCloseTo(priceSum, 12);
        expect(solution.bytes).toBe(bytes - headerBytes);
      }
    }
  });

  it('follows the exact plans where the body amplifies what it loses and the head does not', () => {
    for (const seed of [1, 2, 3]) {
      // Losses of nats, where the bend is steep.
      const choices = choicesOf(tensors, undefined, seed).map(({ candidates, ...rest }) => ({
        ...rest,
        candidates: candidates.map((item) => ({ ...item, klNats: item.klNats * 20 })),
      }));
      expect(choices.filter(({ direct }) => direct === true).length).toBe(1);
      const { curve } = paretoCurve({ choices, headerBytes, parameterCount });
      for (const { bytes, priceSum } of curve.filter((_, index) => index % 7 === 0)) {
        const solution = solve(choices, bytes - headerBytes);
        expect(solution.klNats).toBeLessThanOrEqual(priceSum * 1.01 + 1e-12);
        expect(solution.klNats).toBeGreaterThanOrEqual(priceSum * 0.99 - 1e-12);
      }
    }
  });

  it('never has an exact point above the curve or below its own bound', () => {
    const { points, curve } = curveOf(5);
    for (const { bytes, priceSum, lowerBound, gap } of points) {
      const smaller = curve.filter((corner) => corner.bytes <= bytes);
      expect(priceSum).toBeLessThanOrEqual((smaller.at(-1)?.priceSum ?? Infinity) * 1.01);
      expect(lowerBound).toBeLessThanOrEqual(priceSum);
      expect(gap).toBeLessThan(1e-3);
    }
  });

  it('gives points that can be asked for: their bytes as a budget give the same plan', () => {
    const { choices, points } = curveOf(7);
    for (const { bytes, priceSum } of points) {
      const again = solve(choices, bytes - headerBytes);
      expect(again.bytes).toBe(bytes - headerBytes);
      expect(again.klNats).toBe(priceSum);
    }
  });

  it('reads totals through the fit', () => {
    const choices = choicesOf(tensors);
    const readTotal = ({ priceSum, bodySum }: PriceSums) => {
      const klNats = priceSum + 2 * bodySum ** 2;
      return { klNats, low: priceSum, high: 2 * klNats };
    };
    const { points, curve, presets } = paretoCurve({
      choices,
      headerBytes,
      parameterCount,
      readTotal,
      presets: [
        {
          name: 'mine',
          bytes: 10 ** 9,
          schemes: new Map(choices.map(({ tensor, candidates }) => [tensor, candidates[0].scheme])),
        },
      ],
    });
    for (const { priceSum, bodySum, klNats, low, high } of [...points, ...curve]) {
      expect({ klNats, low, high }).toEqual(readTotal({ priceSum, bodySum }));
      expect(bodySum).toBeLessThanOrEqual(priceSum + 1e-12);
    }
    const lowest = priceSumsOf(
      choices,
      choices.map(() => 0),
    );
    expect(lowest.bodySum).toBeLessThan(lowest.priceSum);
    expect(presets[0]).toMatchObject({ priceSum: lowest.priceSum, klNats: readTotal(lowest).klNats });
  });

  it('puts presets beside the best plan of their bytes, and says where one has no price', () => {
    const choices = choicesOf(tensors);
    const uniform = (name: string) => {
      const taken = choices.map(({ tensor, candidates }) => {
        const candidate = candidates.find(({ scheme }) => scheme === name) ?? candidates.at(-1);
        return { tensor, ...(candidate as (typeof candidates)[number]) };
      });
      return {
        name,
        bytes: headerBytes + taken.reduce((sum, { bytes }) => sum + bytes, 0),
        schemes: new Map(taken.map(({ tensor, scheme }) => [tensor, scheme])),
        klNats: taken.reduce((sum, { klNats }) => sum + klNats, 0),
      };
    };
    const named = [uniform('Q6_K'), uniform('Q4_K')];
    const unpriced = { ...uniform('Q3_K'), schemes: new Map([['token_embd.weight', 'Q4_K']]) };
    const { presets } = paretoCurve({ choices, headerBytes, parameterCount, presets: [...named, unpriced] });
    expect(presets.map(({ name }) => name)).toEqual(['Q3_K', 'Q4_K', 'Q6_K']);
    for (const { name, bytes, priceSum, plan } of presets.slice(1)) {
      expect(priceSum).toBeCloseTo(named.find((each) => each.name === name)?.klNats ?? 0, 12);
      expect(plan?.bytes).toBeLessThanOrEqual(bytes);
      expect(plan?.priceSum).toBeLessThanOrEqual(priceSum as number);
    }
    expect(presets[0]).toMatchObject({ priceSum: null, klNats: null });
    const tiny = paretoCurve({
      choices,
      headerBytes,
      parameterCount,
      presets: [{ ...unpriced, bytes: 5000 }],
    });
    expect(tiny.presets[0].plan).toBeNull();
  });
});
