import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { divideSearchText } from '../../src/refine/search-text.js';
import { tokensOf } from '../../src/text/tokenize.js';

function textOf(chunks: number, contextTokens: number) {
  return {
    name: 'text',
    sha256: '',
    tokens: chunks * contextTokens,
    contextTokens,
    chunks: Array.from({ length: chunks }, (_, index) => Int32Array.of(index)),
  };
}

const idsOf = ({ chunks }: { chunks: readonly Int32Array[] }): number[] => chunks.map(([id]) => id);

test('all parts of a text are disjoint, spread over it, and the check is half at most', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 600 }),
      fc.constantFrom(32, 256, 512, 4096),
      fc.integer({ min: 1, max: 200_000 }),
      (count, contextTokens, limit) => {
        const text = textOf(count, contextTokens);
        const { levels, check } = divideSearchText(text, { first: limit / 4, whole: limit });
        const ids = [...levels, ...(check === null ? [] : [check])].flatMap(idsOf);
        expect(new Set(ids).size).toBe(ids.length);
        expect(Math.max(...ids)).toBeLessThan(count);
        expect(levels[0].chunks.length).toBeGreaterThan(0);
        const selected = levels.reduce((sum, level) => sum + tokensOf(level), 0);
        expect(selected).toBeLessThanOrEqual(Math.max(limit, contextTokens));
        if (check !== null) expect(check.chunks.length).toBeLessThanOrEqual(count / 2);
      },
    ),
  );
});

test('a long text has the three levels, and a check of its own', () => {
  const { levels, check } = divideSearchText(textOf(1000, 256));
  expect(levels.map(tokensOf)).toEqual([2048, 14_336, 49_152]);
  expect(tokensOf(check!)).toBe(65_536);
});
