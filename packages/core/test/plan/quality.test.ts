import { describe, expect, it } from 'vitest';
import { judge, natsOf, parseQuality, type QualityOptions, usedShare } from '../../src/plan/quality.js';

describe('parseQuality', () => {
  it('reads each limit in its own unit', () => {
    expect(parseQuality({ maxKl: '0.01', maxPerplexityIncrease: '5 %', minCosine: 0.99 })).toEqual([
      { kind: 'kl', klNats: 0.01, text: 'a KL of at most 0.01 nats per token' },
      { kind: 'perplexity', increasePercent: 5, text: "a perplexity at most 5 % above the source's" },
      { kind: 'cosine', least: 0.99, text: 'a cosine similarity of at least 0.99 in every tensor' },
    ]);
    expect(parseQuality({ maxKl: '1e-3' })).toMatchObject([{ klNats: 0.001 }]);
    expect(parseQuality({})).toEqual([]);
  });

  it.each<[QualityOptions, string]>([
    [{ maxKl: 0 }, '--max-kl 0: expected nats per token'],
    [{ maxKl: '-0.1' }, '--max-kl -0.1: expected nats per token'],
    [{ maxKl: Number.NaN }, '--max-kl NaN: expected nats per token'],
    [{ maxKl: Infinity }, '--max-kl Infinity: expected nats per token'],
    [{ maxKl: 101 }, '--max-kl 101: expected nats per token'],
    [{ maxKl: '0.01 bits' }, '--max-kl 0.01 bits: expected nats per token'],
    [{ maxKl: '5%' }, '--max-kl 5%: expected nats per token'],
    [{ maxPerplexityIncrease: 0 }, '--max-ppl-increase 0: expected percent'],
    [{ maxPerplexityIncrease: '-3' }, '--max-ppl-increase -3: expected percent'],
    [{ maxPerplexityIncrease: '5 nats' }, '--max-ppl-increase 5 nats: expected percent'],
    [{ maxPerplexityIncrease: '2e6' }, '--max-ppl-increase 2e6: expected percent'],
    [{ minCosine: 0 }, '--min-cosine 0: expected a number above 0 and up to 1'],
    [{ minCosine: 1.01 }, '--min-cosine 1.01: expected a number above 0 and up to 1'],
    [{ minCosine: '99%' }, '--min-cosine 99%: expected a number above 0 and up to 1'],
    [{ minCosine: '' }, '--min-cosine : expected a number above 0 and up to 1'],
  ])('refuses %o', (options, start) => {
    expect(() => parseQuality(options)).toThrowError(
      expect.objectContaining({
        kind: 'arguments',
        code: 'QUALITY_MALFORMED',
        message: expect.stringContaining(start),
        suggestion: expect.stringContaining(start.split(' ')[0]),
      }),
    );
  });
});

describe('judge', () => {
  const evaluation = (kl: number, logRatio: number) =>
    ({
      klNats: {
        mean: { value: kl, standardError: 0.0004 },
        median: kl,
        p99: kl,
        p999: kl,
        max: kl,
      },
      logPerplexityRatio: { value: logRatio, standardError: 0.001 },
    }) as const;
  const limits = parseQuality({ maxKl: 0.02, maxPerplexityIncrease: 2, minCosine: 0.98 });

  it('holds the means against the limits, with an interval of 1.96 standard errors', () => {
    const [kl, perplexity, cosine] = judge(limits, evaluation(0.019, 0.015), 0.985);
    expect(kl).toMatchObject({ limit: 0.02, measured: { value: 0.019, standardError: 0.0004 }, met: true });
    expect(kl.interval[0]).toBeCloseTo(0.019 - 1.96 * 0.0004, 12);
    expect(perplexity).toMatchObject({ limit: 2, met: true });
    expect(perplexity.measured.value).toBeCloseTo(100 * (Math.exp(0.015) - 1), 12);
    expect(cosine).toMatchObject({ limit: 0.98, measured: { value: 0.985, standardError: 0 }, met: true });
  });

  it('misses by the least excess, and meets at the limit itself', () => {
    const met = (kl: number, ratio: number, cosine: number) =>
      judge(limits, evaluation(kl, ratio), cosine).map((verdict) => verdict.met);
    expect(met(0.02, Math.log1p(0.0199999), 0.98)).toEqual([true, true, true]);
    expect(met(0.020001, Math.log1p(0.020001), 0.979999)).toEqual([false, false, false]);
  });

  it('tells how much of the tightest loss limit is used', () => {
    expect(usedShare(judge(limits, evaluation(0.01, 0.0), 0.5))).toBeCloseTo(0.5, 12);
    expect(usedShare(judge(limits, evaluation(0.01, natsOf(limits[1] as never) * 1.5), 1))).toBeCloseTo(
      1.5,
      9,
    );
    // A perplexity below the source's uses nothing of its limit.
    expect(usedShare(judge(parseQuality({ maxPerplexityIncrease: 2 }), evaluation(0.01, -0.01), 1))).toBe(0);
    expect(usedShare(judge(parseQuality({ minCosine: 0.5 }), null, 1))).toBeNull();
  });
});
