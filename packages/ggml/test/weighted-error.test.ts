import { describe, expect, it } from 'vitest';
import { alignedBytes, weightedError } from '../src/index.js';
import { addressOf } from '../src/binding/memory.js';
import { uniform, weights } from './support/random.js';

describe('weightedError', () => {
  it.each([
    [3, 8],
    [4, 7],
    [1, 1],
  ])('equals its definition for %i rows of %i', (rows, rowLength) => {
    const next = uniform(rowLength);
    const values = weights(rows * rowLength, 1);
    const decoded = weights(rows * rowLength, 2);
    const columns = Float32Array.from({ length: rowLength }, next);
    const rowWeights = Float32Array.from({ length: rows }, next);
    const sum = (c: (j: number) => number, r: (i: number) => number): number =>
      values.reduce(
        (total, w, k) => total + r(Math.floor(k / rowLength)) * c(k % rowLength) * (w - decoded[k]) ** 2,
        0,
      );
    const one = (): number => 1;
    expect(weightedError(values, decoded, rows, rowLength)).toBeCloseTo(sum(one, one), 12);
    expect(weightedError(values, decoded, rows, rowLength, columns)).toBeCloseTo(
      sum((j) => columns[j], one),
      12,
    );
    expect(weightedError(values, decoded, rows, rowLength, columns, rowWeights)).toBeCloseTo(
      sum(
        (j) => columns[j],
        (i) => rowWeights[i],
      ),
      12,
    );
    expect(weightedError(values, decoded, rows, rowLength, undefined, rowWeights)).toBeCloseTo(
      sum(one, (i) => rowWeights[i]),
      12,
    );
  });

  it('refuses shapes that do not fit', () => {
    const four = new Float32Array(4);
    expect(() => weightedError(four, four, 3, 2)).toThrow(expect.objectContaining({ code: 'BUFFER_SIZE' }));
    expect(() => weightedError(four, four, 2, 2, new Float32Array(3))).toThrow(
      expect.objectContaining({ code: 'BUFFER_SIZE' }),
    );
    expect(() => weightedError(four, four, 2, 2, undefined, new Float32Array(3))).toThrow(
      expect.objectContaining({ code: 'BUFFER_SIZE' }),
    );
  });
});

describe('alignedBytes', () => {
  it('starts on a multiple of 64', () => {
    for (const length of [0, 1, 63, 100, 100_000]) {
      const bytes = alignedBytes(length);
      expect(bytes.byteLength).toBe(length);
      expect(addressOf(bytes) % 64n).toBe(0n);
    }
  });
});
