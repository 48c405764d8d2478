import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sampleRows } from '../../src/measure/errors/sample-rows.js';

describe('rows of equal weight', () => {
  test('all of them when the sample is as large', () => {
    expect(sampleRows(3, 3)).toEqual([
      { row: 0, hits: 1 },
      { row: 1, hits: 1 },
      { row: 2, hits: 1 },
    ]);
    expect(sampleRows(3, 100)).toHaveLength(3);
  });

  test('evenly spaced otherwise, each once, in order', () => {
    expect(sampleRows(10, 2)).toEqual([
      { row: 2, hits: 1 },
      { row: 7, hits: 1 },
    ]);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 300 }), (rows, count) => {
        const sampled = sampleRows(rows, count).map(({ row }) => row);
        expect(sampled).toHaveLength(Math.min(rows, count));
        expect(new Set(sampled).size).toBe(sampled.length);
        expect(sampled).toEqual(sampled.toSorted((a, b) => a - b));
        expect(sampled[0]).toBeGreaterThanOrEqual(0);
        expect(sampled.at(-1)).toBeLessThan(rows);
        const gaps = sampled.slice(1).map((row, i) => row - sampled[i]);
        if (gaps.length > 0) expect(Math.max(...gaps) - Math.min(...gaps)).toBeLessThanOrEqual(1);
      }),
    );
  });
});

describe('rows by frequency', () => {
  test('a row is hit as often as its share says, to less than one', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 1, maxLength: 200 }),
        fc.integer({ min: 1, max: 500 }),
        (frequencies, count) => {
          const total = frequencies.reduce((sum, value) => sum + value, 0);
          fc.pre(total > 0);
          const sampled = sampleRows(frequencies.length, count, frequencies);
          expect(sampled.reduce((sum, { hits }) => sum + hits, 0)).toBe(count);
          expect(new Set(sampled.map(({ row }) => row)).size).toBe(sampled.length);
          for (const { row, hits } of sampled) {
            expect(frequencies[row]).toBeGreaterThan(0);
            expect(Math.abs(hits - (count * frequencies[row]) / total)).toBeLessThan(1 + 1e-9);
          }
        },
      ),
    );
  });

  test('rows that never occur are never sampled', () => {
    expect(sampleRows(5, 7, [0, 3, 0, 1, 0])).toEqual([
      { row: 1, hits: 5 },
      { row: 3, hits: 2 },
    ]);
  });

  test('a text that was never counted falls back to equal weights', () => {
    expect(sampleRows(4, 2, [0, 0, 0, 0])).toEqual(sampleRows(4, 2));
  });
});
