import { describe, expect, test } from 'vitest';
import { meanWithError, type PositionScores, quantile, summarize } from '../../src/evaluate/summary.js';
import { gaussian, randomFrom } from '../support/random.js';

/**
 * @file The formulas of llama.cpp's `perplexity.cpp`, written down as they stand there (running sums, covariances), to hold
 * the production code against.
 */
function llamaMeanAndUncertainty(values: readonly number[]): [number, number] {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const variance = values.reduce((sum, value) => sum + value * value, 0) / count - mean * mean;
  return [mean, variance > 0 && count > 10 ? Math.sqrt(variance / (count - 1)) : 0];
}

function llamaCovariance(a: readonly number[], b: readonly number[]): number {
  const count = a.length;
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  return (sum(a.map((value, i) => value * b[i])) / count - (sum(a) / count) * (sum(b) / count)) / (count - 1);
}

function llamaPercentile(sorted: readonly number[], fraction: number): number {
  let p = fraction * (sorted.length - 1);
  const ip = Math.trunc(p);
  p -= ip;
  return (1 - p) * sorted[ip] + p * sorted[Math.min(ip + 1, sorted.length - 1)];
}

function llamaMedian(sorted: readonly number[]): number {
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 0 ? 0.5 * (sorted[half] + sorted[half - 1]) : sorted[half];
}

function randomScores(count: number, seed: number): PositionScores {
  const random = randomFrom(seed);
  const numbers = (make: () => number) => Float64Array.from({ length: count }, make);
  const sourceNll = numbers(() => -Math.log(1 - random() * 0.999));
  const outputNll = sourceNll.map((value) => Math.max(0, value + 0.1 * gaussian(random)));
  return {
    sourceNll,
    outputNll,
    klNats: numbers(() => Math.exp(gaussian(random) - 4)),
    deltaP: outputNll.map((value, i) => Math.exp(-value) - Math.exp(-sourceNll[i])),
    sameTop: Uint8Array.from({ length: count }, () => (random() < 0.9 ? 1 : 0)),
  };
}

describe.each([101, 1000, 3049])('a summary of %d positions has the numbers of llama-perplexity', (count) => {
  const scores = randomScores(count, count);
  const summary = summarize(scores);
  const [source, output, kl, deltaP] = [scores.sourceNll, scores.outputNll, scores.klNats, scores.deltaP].map(
    (values) => [...values],
  );
  const sortedKl = kl.toSorted((a, b) => a - b);

  test('perplexities', () => {
    for (const [found, nll] of [
      [summary.source.perplexity, source],
      [summary.output.perplexity, output],
    ] as const) {
      const [mean, error] = llamaMeanAndUncertainty(nll);
      expect(found.value).toBeCloseTo(Math.exp(mean), 10);
      expect(found.standardError).toBeCloseTo(Math.exp(mean) * error, 10);
    }
  });

  test('ln of their ratio, whose error knows that they are paired', () => {
    const [meanQ, errorQ] = llamaMeanAndUncertainty(output);
    const [meanP, errorP] = llamaMeanAndUncertainty(source);
    const error = Math.sqrt(errorQ ** 2 + errorP ** 2 - 2 * llamaCovariance(output, source));
    expect(summary.logPerplexityRatio.value).toBeCloseTo(meanQ - meanP, 10);
    expect(summary.logPerplexityRatio.standardError).toBeCloseTo(error, 8);
  });

  test('KL: mean, median, percentiles, maximum', () => {
    const [mean, error] = llamaMeanAndUncertainty(kl);
    expect(summary.klNats.mean.value).toBeCloseTo(mean, 12);
    expect(summary.klNats.mean.standardError).toBeCloseTo(error, 12);
    expect(summary.klNats.median).toBeCloseTo(llamaMedian(sortedKl), 12);
    expect(summary.klNats.p99).toBeCloseTo(llamaPercentile(sortedKl, 0.99), 12);
    expect(summary.klNats.p999).toBeCloseTo(llamaPercentile(sortedKl, 0.999), 12);
    expect(summary.klNats.max).toBe(sortedKl.at(-1));
  });

  test('same top token and RMS of the change in probability', () => {
    const same = scores.sameTop.reduce((sum, value) => sum + value, 0) / count;
    expect(summary.sameTopToken.value).toBeCloseTo(same, 12);
    expect(summary.sameTopToken.standardError).toBeCloseTo(Math.sqrt((same * (1 - same)) / (count - 1)), 12);
    const [square, error] = llamaMeanAndUncertainty(deltaP.map((value) => value * value));
    expect(summary.rmsDeltaP.value).toBeCloseTo(Math.sqrt(square), 12);
    expect(summary.rmsDeltaP.standardError).toBeCloseTo((0.5 / Math.sqrt(square)) * error, 10);
  });

  test('the scores are left as they were', () => {
    expect(scores).toEqual(randomScores(count, count));
  });
});

test('equal files: zeros, not NaN', () => {
  const nll = Float64Array.from({ length: 40 }, (_, i) => 1 + i / 40);
  const summary = summarize({
    sourceNll: nll,
    outputNll: nll,
    klNats: new Float64Array(40),
    deltaP: new Float64Array(40),
    sameTop: new Uint8Array(40).fill(1),
  });
  expect(summary.logPerplexityRatio).toEqual({ value: 0, standardError: 0 });
  expect(summary.klNats).toEqual({
    mean: { value: 0, standardError: 0 },
    median: 0,
    p99: 0,
    p999: 0,
    max: 0,
  });
  expect(summary.sameTopToken).toEqual({ value: 1, standardError: 0 });
  expect(summary.rmsDeltaP).toEqual({ value: 0, standardError: 0 });
});

test('the error of ten values or fewer is reported as 0, as llama.cpp does', () => {
  expect(meanWithError([1, 2, 3])).toEqual({ value: 2, standardError: 0 });
  expect(meanWithError(Array.from({ length: 10 }, (_, i) => i)).standardError).toBe(0);
  expect(meanWithError(Array.from({ length: 11 }, (_, i) => i)).standardError).toBeGreaterThan(0);
});

test('a mean of nothing is no number', () => {
  expect(meanWithError([])).toEqual({ value: Number.NaN, standardError: Number.NaN });
});

test('the error keeps its digits where values are large and close', () => {
  const values = Float64Array.from({ length: 1000 }, (_, i) => 1e9 + (i % 2));
  expect(meanWithError(values).standardError).toBeCloseTo(0.5 / Math.sqrt(999), 9);
});

test('quantiles interpolate between neighbours and reach both ends', () => {
  expect(quantile([5], 0.99)).toBe(5);
  expect(quantile([1, 2], 0.5)).toBe(1.5);
  expect(quantile([0, 10, 20, 30, 40], 0)).toBe(0);
  expect(quantile([0, 10, 20, 30, 40], 1)).toBe(40);
  expect(quantile([0, 10, 20, 30, 40], 0.6)).toBeCloseTo(24, 12);
});
