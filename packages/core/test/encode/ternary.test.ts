import { decodeRows, encodedByteLength, encodeRows as encodeByEngine } from '@bitsmith/ggml';
import { describe, expect, test } from 'vitest';
import { encodeTernary, type TernaryScheme } from '../../src/encode/ternary.js';
import { nativeEngine } from '../../src/engine/session.js';
import { gaussian, randomFrom } from '../support/random.js';

const engine = nativeEngine({ threads: 1, verbose: false });
const schemes: readonly TernaryScheme[] = ['TQ1_0', 'TQ2_0'];
const rows = 3;
const rowLength = 512;

function bytesOf(values: Float32Array, scheme: TernaryScheme, importance?: Float32Array): Uint8Array {
  const bytes = new Uint8Array(encodedByteLength(scheme, rows, rowLength));
  encodeTernary({ values, rowLength, importance }, scheme, bytes);
  return bytes;
}

async function decoded(bytes: Uint8Array, type: TernaryScheme): Promise<Float32Array> {
  const target = new Float32Array(rows * rowLength);
  await decodeRows(engine, { type, bytes, rows, rowLength }, target);
  return target;
}

function randomWeights(seed: number): Float32Array {
  const random = randomFrom(seed);
  return Float32Array.from({ length: rows * rowLength }, () => 0.05 * gaussian(random));
}

/** Weighted squared error of a block with this scale and the best codes for it. */
function errorAt(block: Float32Array, weights: Float32Array, scale: number): number {
  return block.reduce((sum, value, i) => {
    const left = Math.abs(value) > scale / 2 ? Math.abs(value) - scale : value;
    return sum + weights[i] * left * left;
  }, 0);
}

describe.each(schemes)('%s', (scheme) => {
  test('gives ternary weights back as they are, in the very bytes of the engine', async () => {
    const random = randomFrom(3);
    const values = Float32Array.from({ length: rows * rowLength }, (_, i) => {
      // A scale for each block, all of them half floats; the last block is all zeros.
      const scale = i < 5 * 256 ? [0.0125732421875, 1, 3.5, 0.25, 2 ** -20][i >> 8] : 0;
      return scale * (Math.floor(random() * 3) - 1);
    });
    const bytes = bytesOf(values, scheme);
    expect((await decoded(bytes, scheme)).map((value) => value + 0)).toEqual(
      values.map((value) => value + 0),
    );
    const theirs = new Uint8Array(bytes.length);
    await encodeByEngine(engine, { type: scheme, values, rows, rowLength }, theirs);
    expect(bytes).toEqual(theirs);
  });

  test('has the scale of least weighted error for any other weights', async () => {
    const values = randomWeights(5);
    const random = randomFrom(6);
    const importance = Float32Array.from({ length: rowLength }, () => random() ** 4);
    const found = await decoded(bytesOf(values, scheme, importance), scheme);
    for (let start = 0; start < values.length; start += 256) {
      const block = values.subarray(start, start + 256);
      const weights = importance.subarray(start % rowLength, (start % rowLength) + 256);
      const error = block.reduce((sum, v, i) => sum + weights[i] * (v - found[start + i]) ** 2, 0);
      const grid = Array.from({ length: 2000 }, (_, i) => errorAt(block, weights, (i + 1) * 1e-4));
      expect(error).toBeLessThan(Math.min(...grid) * 1.0005);
    }
  });

  test('leaves less than a third of the error that the largest weight as scale leaves', async () => {
    const values = randomWeights(8);
    const theirs = new Uint8Array(encodedByteLength(scheme, rows, rowLength));
    await encodeByEngine(engine, { type: scheme, values, rows, rowLength }, theirs);
    const errorOf = (other: Float32Array): number =>
      other.reduce((sum, v, i) => sum + (v - values[i]) ** 2, 0);
    const ratio =
      errorOf(await decoded(bytesOf(values, scheme), scheme)) / errorOf(await decoded(theirs, scheme));
    expect(ratio).toBeLessThan(1 / 3);
  });

  test('falls back on equal weights where importance is all zero, and refuses what is no number', () => {
    const values = randomWeights(9);
    expect(bytesOf(values, scheme, new Float32Array(rowLength))).toEqual(bytesOf(values, scheme));
    values[700] = Number.NaN;
    expect(() => bytesOf(values, scheme)).toThrowError(
      expect.objectContaining({ code: 'VALUES_NOT_FINITE' }),
    );
    expect(() => bytesOf(values.fill(1e6), scheme)).toThrowError(
      expect.objectContaining({ code: 'VALUES_TOO_LARGE' }),
    );
  });
});
