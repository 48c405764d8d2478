import { describe, expect, it } from 'vitest';
import { randomWords } from '../lib/random.js';
import { bootstrapError, coverage, median, percentile, ranks, spearman } from '../lib/statistics.js';

describe('ranks', () => {
  it('gives equal values the mean of their places', () => {
    expect(ranks([10, 20, 20, 5, 20])).toEqual([2, 4, 4, 1, 4]);
  });
});

describe('spearman', () => {
  it('sees only the order', () => {
    expect(spearman([1, 2, 3, 4], [1, 8, 27, 64])).toBeCloseTo(1, 12);
    expect(spearman([1, 2, 3, 4], [0, -1, -10, -11])).toBeCloseTo(-1, 12);
  });

  it('agrees with a worked example with ties', () => {
    // Ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4: 4.5 / sqrt(4.5 * 5).
    expect(spearman([1, 2, 2, 3], [1, 3, 2, 4])).toBeCloseTo(4.5 / Math.sqrt(4.5 * 5), 12);
  });

  it('is not a number where nothing is ordered', () => {
    expect(spearman([1, 1, 1], [1, 2, 3])).toBeNaN();
  });
});

describe('percentile', () => {
  it('interpolates between neighbours, in any order of values', () => {
    expect(percentile([40, 10, 30, 20], 0.5)).toBe(25);
    expect(percentile([40, 10, 30, 20], 0.9)).toBeCloseTo(37, 12);
    expect(percentile([7], 0.9)).toBe(7);
  });

  it('is the median at one half', () => {
    const values = [3, 1, 4, 1, 5, 9, 2, 6];
    expect(percentile(values, 0.5)).toBe(median(values));
  });
});

describe('coverage', () => {
  it('counts the truths inside, limits included', () => {
    const interval = { low: 1, high: 2 };
    expect(coverage([interval, interval, interval, interval], [1, 1.5, 2, 2.1])).toBe(0.75);
  });
});

describe('bootstrapError', () => {
  it('finds the standard error of a mean', () => {
    const words = randomWords(1);
    const values = Array.from({ length: 400 }, () => words() / 2 ** 32);
    const error = bootstrapError(values.length, 400, words, (drawn) =>
      drawn.reduce((sum, index) => sum + values[index] / values.length, 0),
    );
    // Of a uniform value: sqrt(1/12).
    expect(error).toBeGreaterThan(0.8 * Math.sqrt(1 / 12 / 400));
    expect(error).toBeLessThan(1.2 * Math.sqrt(1 / 12 / 400));
  });
});
