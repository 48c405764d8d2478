import { describe, expect, it } from 'vitest';
import { mergeCoupled, expandPicked } from '../../src/plan/coupling.js';
import { bytesRange } from '../../src/plan/bytes.js';
import { leastBytes } from '../../src/plan/least-bytes.js';
import { type LossLimit, parseQuality, type QualityOptions } from '../../src/plan/quality.js';
import { solve } from '../../src/plan/solve.js';
import type { Choice } from '../../src/plan/types.js';
import { formatNats } from '../../src/plan/units.js';
import { bytesOf, priceSumOf } from '../../src/refine/assignment.js';
import { bytesForQuality, type LossMeter, type QualitySearch } from '../../src/refine/quality-budget.js';
import { transformerLike } from '../plan/instances.js';
import { runJob } from '../support/jobs.js';
import { gaussian, randomFrom } from '../support/random.js';

const HEADER = 100_000;

/** A model whose prices are off by a factor, a curve and noise of every plan's own. */
function world(
  seed: number,
  off = { a: 1.15, b: 1.5, noise: 0.01, nll: 0.85 },
  bend = (klNats: number): number => klNats,
) {
  const random = randomFrom(seed);
  const { choices: priced, smallestBytes } = transformerLike(seed, 60, 20);
  // The smallest plan costs a nat.
  const scale = 1 / solve(priced, smallestBytes).klNats;
  const choices = priced.map(({ candidates }, index): Choice => {
    const stored = {
      scheme: 'BF16',
      bytes: Math.max(...candidates.map(({ bytes }) => bytes)) * 2,
      klNats: 0,
    };
    const schemes = candidates.map(({ bytes, klNats }, scheme) => ({
      scheme: `S${scheme}`,
      bytes,
      klNats: klNats * scale,
    }));
    return { tensor: `t${index}`, constraint: null, candidates: [...schemes, stored] };
  });
  const noises = new Map<string, number>();
  let calls = 0;
  let plans = 0;
  const truth = (assignment: readonly number[]): number => {
    const key = assignment.join();
    const sum = priceSumOf(choices, assignment);
    const noise = noises.get(key) ?? Math.exp(off.noise * gaussian(random));
    noises.set(key, noise);
    return bend(sum * (off.a + off.b * sum) * noise);
  };
  // oxlint-disable-next-line require-yield
  const measure: LossMeter = async function* (assignments) {
    calls++;
    plans += assignments.length;
    const values = assignments.map((assignment) => {
      const klNats = truth(assignment);
      return { klNats, standardError: klNats / 60, nllIncreaseNats: off.nll * klNats };
    });
    return { values, cached: false };
  };
  const largest = HEADER + bytesRange(choices)[1];
  const find = async (options: QualityOptions, more: Partial<QualitySearch> = {}) => {
    const limits = parseQuality(options) as LossLimit[];
    const search = {
      choices,
      groups: [],
      headerBytes: HEADER,
      limitBytes: largest,
      sizeRequest: null,
      limits,
      allowance: 1,
    };
    return (await runJob(bytesForQuality({ ...search, ...more }, measure, 16_384))).result;
  };
  const planAt = (bytes: number) => solve(choices, bytes - HEADER).picked;
  return { choices, truth, find, planAt, cost: () => ({ calls, plans }) };
}

describe('the smallest plan within a limit of loss', () => {
  it.each(Array.from({ length: 20 }, (_, seed) => seed + 1))('is found and close, model %i', async (seed) => {
    const { find, truth, planAt, cost } = world(seed);
    const limit = 10 ** (-3 + 2.5 * randomFrom(seed + 100)());
    const fit = await find({ maxKl: limit });
    expect(fit.klNats.value).toBeLessThanOrEqual(limit);
    expect(fit.klNats.value).toBe(truth(planAt(fit.bytes)));
    // A scan: nothing 2 % smaller meets the limit.
    for (let share = 0.9; share <= 0.98; share += 0.005) {
      expect(truth(planAt(fit.bytes * share))).toBeGreaterThan(limit);
    }
    expect(cost().plans).toBeLessThanOrEqual(6);
  });

  it.each(Array.from({ length: 20 }, (_, seed) => seed + 1))(
    'is close where plans differ by noise of their own, model %i',
    async (seed) => {
      const { find } = world(seed, { a: 1.3, b: 0, noise: 0.08, nll: 1 });
      const limit = 10 ** (-3 + 2.5 * randomFrom(seed + 100)());
      const fit = await find({ maxKl: limit });
      expect(fit.klNats.value).toBeLessThanOrEqual(limit);
      // Without noise a plan of such prices meets the limit exactly.
      const exact = await world(seed, { a: 1.3, b: 0, noise: 0, nll: 1 }).find({ maxKl: limit });
      expect(fit.bytes).toBeLessThan(1.03 * exact.bytes);
    },
  );

  it('goes on where all plans for a long way miss the limit by a little', async () => {
    const limit = 0.0049;
    const onShelf = (klNats: number): number =>
      klNats > 0.5 * limit && klNats < 1.04 * limit ? 1.04 * limit : klNats;
    const { find, cost } = world(9, { a: 1.3, b: 0, noise: 0, nll: 1 }, onShelf);
    const fit = await find({ maxKl: limit });
    expect(fit.klNats.value).toBeLessThanOrEqual(limit);
    expect(fit.klNats.value).toBeGreaterThan(0.3 * limit);
    expect(cost().plans).toBeLessThanOrEqual(12);
  });

  it('plans for perplexity by what the text makes of KL', async () => {
    const { find, truth, planAt } = world(3);
    const fit = await find({ maxPerplexityIncrease: 2 });
    const nll = 0.85 * truth(planAt(fit.bytes));
    expect(nll).toBeLessThanOrEqual(Math.log(1.02));
    expect(nll).toBeGreaterThan(0.95 * Math.log(1.02));
    expect(fit.nllIncreaseNats).toBeCloseTo(nll, 12);
  });

  it('meets the tighter of two limits, and less where less is allowed', async () => {
    const { find } = world(4);
    const both = await find({ maxKl: 0.02, maxPerplexityIncrease: 10 });
    expect(both.bytes).toBe((await find({ maxKl: 0.02 })).bytes);
    const tighter = await find({ maxKl: 0.02 }, { allowance: 0.8 });
    expect(tighter.klNats.value).toBeLessThanOrEqual(0.016);
    expect(tighter.bytes).toBeGreaterThan(both.bytes);
  });

  it('takes the smallest plan where even that meets the limit', async () => {
    const { find, choices } = world(5);
    expect((await find({ maxKl: 100 })).bytes).toBe(HEADER + bytesRange(choices)[0]);
  });

  it('keeps nearly everything for a limit near zero', async () => {
    const { find } = world(6);
    const fit = await find({ maxKl: 1e-9 });
    expect(fit.klNats.value).toBeLessThanOrEqual(1e-9);
  });

  it('finds its way by prices that are off by orders of magnitude', async () => {
    const { find, truth, planAt } = world(7, { a: 300, b: 0, noise: 0.02, nll: 1 });
    const fit = await find({ maxKl: 0.05 });
    expect(truth(planAt(fit.bytes))).toBeLessThanOrEqual(0.05);
    expect(truth(planAt(fit.bytes * 0.97))).toBeGreaterThan(0.05);
  });

  it('says what is nearest where a size leaves no room for it', async () => {
    const { find, planAt, truth, choices } = world(8);
    const limitBytes = HEADER + bytesRange(choices)[0] * 1.3;
    const nearest = truth(planAt(limitBytes));
    await expect(find({ maxKl: nearest / 2 }, { limitBytes, sizeRequest: 'size 5MB' })).rejects.toMatchObject(
      {
        kind: 'budget-impossible',
        code: 'QUALITY_IMPOSSIBLE',
        message: expect.stringMatching(
          /a KL of at most .* and size 5MB \(.*\) cannot both be had: the nearest is/,
        ),
        found: expect.stringContaining(`${formatNats(nearest)} nats per token`),
      },
    );
  });
});

describe('leastBytes', () => {
  it.each([1, 2, 3])('is the other side of the solver, instance %i', (seed) => {
    const { choices, smallestBytes, largestBytes } = transformerLike(seed, 40, 12);
    const middle = Math.floor((smallestBytes + largestBytes) / 3);
    const { klNats } = solve(choices, middle);
    const bytes = leastBytes(choices, klNats, largestBytes);
    expect(solve(choices, bytes).klNats).toBeLessThanOrEqual(klNats);
    expect(solve(choices, Math.floor(bytes * 0.999)).klNats).toBeGreaterThan(klNats);
    expect(leastBytes(choices, Infinity, largestBytes)).toBe(smallestBytes);
    expect(leastBytes(choices, -1, middle)).toBe(middle);
  });

  it('counts what couplings add', () => {
    const { choices } = world(2);
    const groups = [{ kind: 'qkv' as const, tensors: ['t0', 't1', 't2'] }];
    const merged = mergeCoupled(choices, groups as never);
    const bytes = leastBytes(merged, 0.05, Infinity);
    const assignment = expandPicked(choices, merged, solve(merged, bytes).picked);
    expect(new Set(assignment.slice(0, 3)).size).toBe(1);
    expect(bytesOf(choices, assignment)).toBeLessThanOrEqual(bytes);
  });
});
