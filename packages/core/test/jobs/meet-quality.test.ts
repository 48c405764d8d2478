import { BitsmithError } from '@bitsmith/formats';
import { describe, expect, it } from 'vitest';
import { type CheckedFile, meetQuality } from '../../src/jobs/meet-quality.js';
import type { QualityCorrection } from '../../src/jobs/plan-for-quality.js';
import type { PlannedModel } from '../../src/jobs/plan.js';
import { parseQuality, type QualityOptions } from '../../src/plan/quality.js';
import { runJob } from '../support/jobs.js';

const LIMIT = 0.01;

interface World {
  /** KL on the report text by that on the search text. */
  readonly ratio: (attempt: number) => number;
  readonly options?: QualityOptions;
  /** From which allowance on plans cannot be made. */
  readonly impossible?: (allowance: number) => boolean;
  /** Cosine of each scheme of the one tensor, coarse to fine. */
  readonly cosines?: readonly number[];
}

/** Plans of a model whose file sizes fall as losses grow: 1 MB at a KL of 1, and 10 % more for half of it. */
function world({ ratio, options = { maxKl: LIMIT }, cosines = [1], impossible = () => false }: World) {
  const limits = parseQuality(options);
  const discarded: string[] = [];
  const asked: QualityCorrection[] = [];
  const plan = (correction: QualityCorrection): PlannedModel => {
    asked.push(correction);
    const kl = LIMIT * correction.allowance * 0.99;
    const bytes = Math.round(1e6 * (1 - 0.1 * Math.log2(kl)));
    const scheme = `S${cosines.findIndex((_, index) => !correction.short.some((pair) => pair.scheme === `S${index}`))}`;
    const again = async function* (next: QualityCorrection) {
      yield { type: 'note', level: 'info', message: 'planned again' } as const;
      if (impossible(next.allowance))
        throw new BitsmithError('budget-impossible', 'QUALITY_IMPOSSIBLE', 'there is no such plan');
      return plan(next);
    };
    return {
      plan: { hash: `${bytes} ${scheme}`, predicted: { bytes }, tensors: [{ tensor: 't', scheme }] },
      quality: { limits, fit: { allowance: correction.allowance, klNats: { value: kl } }, correction, again },
    } as unknown as PlannedModel;
  };
  let attempt = 0;
  const build = async function* (planned: PlannedModel) {
    yield { type: 'note', level: 'info', message: 'built' } as const;
    const value = (planned.quality?.fit?.klNats.value ?? 0) * ratio(attempt++);
    const file: CheckedFile = {
      planned,
      evaluation: {
        klNats: { mean: { value, standardError: value / 100 } },
        logPerplexityRatio: { value, standardError: value / 20 },
      } as never,
      cosines: new Map([['t', cosines[Number(planned.plan.tensors[0].scheme.slice(1))]]]),
      discard: async () => void discarded.push(planned.plan.hash),
    };
    return file;
  };
  const run = async () => (await runJob(meetQuality(plan({ allowance: 1, short: [] }), build))).result;
  return { run, discarded, asked };
}

const klOf = (file: CheckedFile): number => file.evaluation?.klNats.mean.value ?? Number.NaN;

describe('a file that meets its limits', () => {
  it('is the first where the report text is like the search text', async () => {
    const { run, discarded } = world({ ratio: () => 0.98 });
    const { file, attempts } = await run();
    expect(attempts).toHaveLength(1);
    expect(klOf(file)).toBeLessThanOrEqual(LIMIT);
    expect(discarded).toEqual([]);
  });

  it.each([1.05, 1.3, 3])(
    'is planned for less where losses are %f times those planned for',
    async (ratio) => {
      const { run, discarded, asked } = world({ ratio: () => ratio });
      const { file, attempts } = await run();
      expect(klOf(file)).toBeLessThanOrEqual(LIMIT);
      expect(klOf(file)).toBeGreaterThan(0.95 * LIMIT);
      expect(attempts.map(({ verdicts }) => verdicts[0].met)).toEqual([false, true]);
      expect(discarded).toEqual([attempts[0].planHash]);
      expect(asked[1].allowance).toBeCloseTo(0.985 / (0.99 * ratio), 9);
    },
  );

  it.each([0.9, 0.5])('is tried smaller where losses are %f of those planned for', async (ratio) => {
    const { run, discarded } = world({ ratio: () => ratio });
    const { file, attempts } = await run();
    expect(attempts).toHaveLength(2);
    expect(klOf(file)).toBeLessThanOrEqual(LIMIT);
    expect(klOf(file)).toBeGreaterThan(0.95 * LIMIT);
    expect(discarded).toEqual([attempts[0].planHash]);
  });

  it('lies between a file that stayed far below and one that missed', async () => {
    const { run, discarded } = world({ ratio: (attempt) => (attempt === 0 ? 0.5 : 0.6) });
    const { file, attempts } = await run();
    expect(attempts.length).toBeGreaterThan(2);
    expect(klOf(file)).toBeLessThanOrEqual(LIMIT);
    expect(klOf(file)).toBeGreaterThan(0.94 * LIMIT);
    expect(discarded.toSorted()).toEqual(
      attempts
        .slice(0, -1)
        .map(({ planHash }) => planHash)
        .toSorted(),
    );
  });

  it('stays what it is where another plan cannot be made, and there is none where nothing met the limits', async () => {
    const { run } = world({ ratio: () => 0.5, impossible: (allowance) => allowance > 1 });
    expect(klOf((await run()).file)).toBeCloseTo(0.99 * LIMIT * 0.5, 12);
    const missing = world({ ratio: () => 2, impossible: (allowance) => allowance < 1 });
    await expect(missing.run()).rejects.toMatchObject({ code: 'QUALITY_IMPOSSIBLE' });
  });

  it('stays the larger one where all smaller ones miss', async () => {
    const { run, discarded } = world({ ratio: (attempt) => (attempt === 0 ? 0.5 : 3) });
    const { file, attempts } = await run();
    expect(klOf(file)).toBeCloseTo(0.99 * LIMIT * 0.5, 12);
    expect(discarded).toEqual(attempts.slice(1).map(({ planHash }) => planHash));
  });

  it('goes on tightening while files miss, and gives up after six, naming the nearest', async () => {
    const { run, discarded } = world({ ratio: (attempt) => 1.2 * 1.1 ** attempt });
    await expect(run()).rejects.toMatchObject({
      kind: 'budget-impossible',
      code: 'QUALITY_IMPOSSIBLE',
      message: expect.stringMatching(
        /^expected a KL of at most 0.01 nats per token, but 6 files missed it; the nearest has 0\.01\d+ at/,
      ),
    });
    expect(discarded).toHaveLength(6);
  });

  it('leaves out schemes that turned weights too far, and plans for the same loss', async () => {
    const { run, asked } = world({
      ratio: () => 0.98,
      options: { maxKl: LIMIT, minCosine: 0.97 },
      cosines: [0.95, 0.969, 0.98],
    });
    const { file, attempts } = await run();
    expect(attempts).toHaveLength(3);
    expect(file.cosines.get('t')).toBe(0.98);
    expect(asked.map(({ allowance }) => allowance)).toEqual([1, 1, 1]);
    expect(asked[2].short).toEqual([
      { tensor: 't', scheme: 'S0' },
      { tensor: 't', scheme: 'S1' },
    ]);
  });

  it('holds perplexity and KL together', async () => {
    const { run } = world({ ratio: () => 1, options: { maxKl: 1, maxPerplexityIncrease: 0.5 } });
    const { attempts } = await run();
    expect(attempts.at(-1)?.verdicts.map(({ met }) => met)).toEqual([true, true]);
    expect(attempts.length).toBeGreaterThan(1);
  });

  it('is any file where no quality was asked for', async () => {
    const { run } = world({ ratio: () => 1, options: {} });
    const { attempts } = await run();
    expect(attempts).toHaveLength(1);
    expect(attempts[0].verdicts).toEqual([]);
  });
});
