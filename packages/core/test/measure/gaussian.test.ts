import { expect, test } from 'vitest';
import { RowNoise } from '../../src/measure/live/gaussian.js';

function noiseOf(rows: number, rowLength: number, seed = 1, tensor = 'blk.0.attn_q.weight'): Float64Array {
  const noise = new RowNoise(seed, tensor);
  const all = new Float64Array(rows * rowLength);
  for (let row = 0; row < rows; row++) {
    const values = new Float32Array(rowLength);
    noise.addTo(values, row, 1);
    all.set(values, row * rowLength);
  }
  return all;
}

const mean = (values: ArrayLike<number>, power: number): number =>
  Array.from(values, (value) => value ** power).reduce((sum, each) => sum + each, 0) / values.length;

test('has the moments of a standard normal distribution', () => {
  const values = noiseOf(400, 501);
  const count = values.length;
  expect(Math.abs(mean(values, 1))).toBeLessThan(4 / Math.sqrt(count));
  expect(Math.abs(mean(values, 2) - 1)).toBeLessThan(4 * Math.sqrt(2 / count));
  expect(Math.abs(mean(values, 3))).toBeLessThan(4 * Math.sqrt(15 / count));
  expect(Math.abs(mean(values, 4) - 3)).toBeLessThan(4 * Math.sqrt(96 / count));
});

test('a row does not depend on the rows before it, and no two rows are alike', () => {
  const rows = noiseOf(64, 32);
  const alone = new Float32Array(32);
  new RowNoise(1, 'blk.0.attn_q.weight').addTo(alone, 17, 1);
  expect(Float64Array.from(alone)).toEqual(rows.subarray(17 * 32, 18 * 32));
  expect(new Set(rows).size).toBe(rows.length);
  const correlations = Array.from({ length: 63 }, (_, row) => {
    let sum = 0;
    for (let i = 0; i < 32; i++) sum += rows[row * 32 + i] * rows[(row + 1) * 32 + i];
    return sum / 32;
  });
  expect(Math.abs(mean(correlations, 1))).toBeLessThan(4 / Math.sqrt(63 * 32));
});

test('another seed and another tensor have other noise', () => {
  const one = noiseOf(4, 8);
  expect(noiseOf(4, 8)).toEqual(one);
  expect(noiseOf(4, 8, 2)).not.toEqual(one);
  expect(noiseOf(4, 8, 1, 'blk.1.attn_q.weight')).not.toEqual(one);
});

test('is added to what is there', () => {
  const values = Float32Array.of(100, 200, 300);
  new RowNoise(3, 'w').addTo(values, 0, 0.5);
  const plain = new Float32Array(3);
  new RowNoise(3, 'w').addTo(plain, 0, 0.5);
  values.forEach((value, i) => expect(Math.abs(value - 100 * (i + 1) - plain[i])).toBeLessThan(1e-4));
});
