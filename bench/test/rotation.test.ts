import { describe, expect, it } from 'vitest';
import { normalQuantiles, randomWords } from '../lib/random.js';
import { ChannelRotation } from '../lib/rotation.js';

const CHANNELS = 64;

function normals(count: number, seed: number): Float64Array {
  const words = randomWords(seed);
  const quantiles = normalQuantiles(1 << 12);
  return Float64Array.from({ length: count }, () => quantiles[words() >>> 20]);
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, value, i) => sum + value * b[i], 0);

/** [rows x columns] by a vector. */
function times(matrix: Float64Array, vector: Float64Array): Float64Array {
  const columns = vector.length;
  return Float64Array.from({ length: matrix.length / columns }, (_, row) =>
    dot(matrix.subarray(row * columns, (row + 1) * columns), vector),
  );
}

describe('ChannelRotation', () => {
  const rotation = new ChannelRotation(CHANNELS, 3, 1);

  it('keeps lengths and angles', () => {
    const [a, b] = [normals(CHANNELS, 2), normals(CHANNELS, 3)];
    const [lengthBefore, productBefore] = [dot(a, a), dot(a, b)];
    rotation.rotateRows(a);
    rotation.rotateRows(b);
    expect(dot(a, a)).toBeCloseTo(lengthBefore, 12);
    expect(dot(a, b)).toBeCloseTo(productBefore, 12);
  });

  it('leaves what a reader sees of a rotated stream as it was', () => {
    const reader = normals(5 * CHANNELS, 4);
    const stream = normals(CHANNELS, 5);
    const before = times(reader, stream);
    rotation.rotateRows(reader);
    rotation.rotateRows(stream);
    times(reader, stream).forEach((value, index) => expect(value).toBeCloseTo(before[index], 12));
  });

  it('makes a writer write the rotated stream', () => {
    const writer = normals(CHANNELS * 7, 6);
    const input = normals(7, 7);
    const expected = times(writer, input);
    rotation.rotateRows(expected);
    rotation.rotateColumns(writer);
    times(writer, input).forEach((value, index) => expect(value).toBeCloseTo(expected[index], 12));
  });

  it('mixes every channel with others, the same way for the same seed', () => {
    const unit = new Float64Array(CHANNELS * CHANNELS);
    for (let i = 0; i < CHANNELS; i++) unit[i * CHANNELS + i] = 1;
    const again = unit.slice();
    rotation.rotateRows(unit);
    new ChannelRotation(CHANNELS, 3, 1).rotateRows(again);
    expect(again).toEqual(unit);
    for (let i = 0; i < CHANNELS; i++) {
      const row = unit.subarray(i * CHANNELS, (i + 1) * CHANNELS);
      expect(row.filter((value) => value !== 0).length).toBeGreaterThanOrEqual(4);
      expect(Math.max(...row.map(Math.abs))).toBeLessThan(1);
    }
  });
});
