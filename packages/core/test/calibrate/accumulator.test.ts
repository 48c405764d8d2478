import type { ImportanceMatrix } from '@bitsmith/formats';
import { describe, expect, test } from 'vitest';
import { ImportanceAccumulator, ROW_COUNTS } from '../../src/calibrate/accumulator.js';
import { gaussian, randomFrom } from '../support/random.js';

const about = { dataset: 'a text', chunks: 2, contextTokens: 16 };

function randomRows(seed: number, rows: number, columns: number): Float32Array {
  const random = randomFrom(seed);
  return Float32Array.from({ length: rows * columns }, () => gaussian(random));
}

function columnSquares(values: Float32Array, columns: number): number[] {
  const sums = Array.from({ length: columns }, () => 0);
  values.forEach((value, index) => (sums[index % columns] += value * value));
  return sums;
}

test('rows add their squares to the columns of one matrix', () => {
  const accumulator = new ImportanceAccumulator(4);
  const values = randomRows(1, 30, 8);
  const sums = accumulator.sumsOf('blk.0.ffn_up_exps.weight', 8, 3);
  accumulator.addRows(sums, 1, values, 0, 8, 30);
  const entry = accumulator.toImportanceMatrix(about).entries.get('blk.0.ffn_up_exps.weight');
  expect(entry).toMatchObject({ columns: 8, matrices: 3 });
  expect([...(entry?.counts ?? [])]).toEqual([0, 30, 0]);
  const none = new Float32Array(8);
  const expected = [...none, ...columnSquares(values, 8), ...none];
  expect(entry?.inSum2).toEqual(Float32Array.from(expected));
});

test('an offset and a stride pick rows out of a larger array', () => {
  const accumulator = new ImportanceAccumulator(4);
  const sums = accumulator.sumsOf('w', 2, 1);
  accumulator.addRows(sums, 0, Float32Array.of(9, 1, 2, 9, 9, 3, 4, 9), 1, 4, 2);
  expect([...sums.inSum2]).toEqual([1 + 9, 4 + 16]);
});

test('sums of a million tokens keep what float32 sums would lose', () => {
  const accumulator = new ImportanceAccumulator(1);
  const sums = accumulator.sumsOf('w', 1, 1);
  const batch = new Float32Array(1000).fill(1);
  accumulator.addRows(sums, 0, Float32Array.of(2 ** 13), 0, 1, 1);
  for (let i = 0; i < 1000; i++) accumulator.addRows(sums, 0, batch, 0, 1, 1000);
  expect(sums.inSum2[0]).toBe(2 ** 26 + 1_000_000);
});

describe('merging', () => {
  function part(seed: number, names: readonly string[]): ImportanceMatrix {
    const accumulator = new ImportanceAccumulator(5);
    for (const name of names) {
      accumulator.addRows(accumulator.sumsOf(name, 4, 1), 0, randomRows(seed, 10, 4), 0, 4, 10);
    }
    accumulator.countTokens(Int32Array.of(0, seed % 5, 4));
    return accumulator.toImportanceMatrix(about);
  }
  const parts = [part(1, ['a', 'b']), part(2, ['b', 'c']), part(3, ['a'])];

  test('adds sums, counts and token counts, whatever a part holds', () => {
    const accumulator = new ImportanceAccumulator(5);
    for (const each of parts) accumulator.merge(each);
    const merged = accumulator.toImportanceMatrix(about);
    expect([...merged.entries.keys()]).toEqual(['a', 'b', 'c']);
    expect([...(merged.entries.get('a')?.counts ?? [])]).toEqual([20]);
    expect([...(merged.entries.get('c')?.counts ?? [])]).toEqual([10]);
    const [first, , third] = parts.map(({ entries }) => entries.get('a')?.inSum2);
    const expected = first?.map((value, i) => value + (third?.[i] ?? 0));
    merged.entries.get('a')?.inSum2.forEach((value, i) => expect(value).toBeCloseTo(expected?.[i] ?? 0, 5));
    expect([...(merged.extra.get(ROW_COUNTS)?.values ?? [])]).toEqual([3, 1, 1, 1, 3]);
  });

  test('the same parts in the same order give the same bytes', () => {
    const merge = () => {
      const accumulator = new ImportanceAccumulator(5);
      for (const each of parts) accumulator.merge(each);
      return accumulator.toImportanceMatrix(about);
    };
    expect(merge()).toEqual(merge());
  });

  test('a part of another model is refused', () => {
    const accumulator = new ImportanceAccumulator(5);
    accumulator.merge(part(1, ['a']));
    const other = new ImportanceAccumulator(5);
    other.addRows(other.sumsOf('a', 6, 1), 0, new Float32Array(6), 0, 6, 1);
    expect(() => accumulator.merge(other.toImportanceMatrix(about))).toThrowError(
      expect.objectContaining({ kind: 'importance-file', code: 'IMPORTANCE_SHAPE' }),
    );
  });
});

test('weights whose inputs overflow are named', () => {
  const accumulator = new ImportanceAccumulator(1);
  accumulator.addRows(accumulator.sumsOf('fine', 2, 1), 0, Float32Array.of(1, 2), 0, 2, 1);
  accumulator.addRows(accumulator.sumsOf('nan', 2, 1), 0, Float32Array.of(1, Number.NaN), 0, 2, 1);
  accumulator.addRows(accumulator.sumsOf('infinite', 2, 1), 0, Float32Array.of(Infinity, 0), 0, 2, 1);
  // Finite in float64, infinite in the file's float32.
  accumulator.addRows(accumulator.sumsOf('large', 1, 1), 0, Float32Array.of(3e38), 0, 1, 1);
  expect(accumulator.nonFinite()).toEqual(['nan', 'infinite', 'large']);
});

test('the file says what it was measured on, names in order', () => {
  const accumulator = new ImportanceAccumulator(3);
  for (const name of ['blk.10.x', 'blk.2.x', 'a']) accumulator.sumsOf(name, 1, 1);
  accumulator.countTokens(Int32Array.of(2, 2, 1));
  const matrix = accumulator.toImportanceMatrix(about);
  expect(matrix).toMatchObject({ datasets: ['a text'], chunkCount: 2, chunkSize: 16 });
  expect([...matrix.entries.keys()]).toEqual(['a', 'blk.10.x', 'blk.2.x']);
  expect(matrix.extra.get(ROW_COUNTS)).toEqual({ shape: [3], values: Float32Array.of(0, 1, 2) });
});
