import { decodeAffine, encodeAffine } from '@bitsmith/formats';
import { decodeRows, encodedByteLength, loadEngine } from '@bitsmith/ggml';
import { expect, test } from 'vitest';
import { encodeRows } from '../../src/encode/encode-type.js';
import { affineSpec } from '../../src/plan/affine-schemes.js';
import { typicalError } from '../../src/plan/rules/typical-errors.js';
import { gaussian, randomFrom } from '../support/random.js';

const rows = 16;
const rowLength = 2048;

const random = randomFrom(7);
const values = Float32Array.from({ length: rows * rowLength }, () => gaussian(random));

function relativeError(decoded: Float32Array): number {
  const sum = (of: (value: number, index: number) => number): number =>
    values.reduce((total, value, index) => total + of(value, index) ** 2, 0);
  return sum((value, index) => value - decoded[index]) / sum((value) => value);
}

const quick = ['Q2_K', 'Q3_K', 'Q4_0', 'Q4_1', 'Q4_K', 'Q5_0', 'Q5_1', 'Q5_K', 'Q6_K', 'Q8_0'] as const;

test.each([...quick, 'Q2_0', 'TQ2_0', 'IQ4_NL', 'IQ4_XS', 'MXFP4', 'BF16'] as const)(
  'the table knows what %s does to Gaussian weights',
  async (type) => {
    const engine = loadEngine({ threads: 1 });
    const bytes = new Uint8Array(encodedByteLength(type, rows, rowLength));
    const importance = new Float32Array(rowLength).fill(1);
    await encodeRows(engine, { type, values, rows, rowLength, importance }, bytes);
    const decoded = new Float32Array(values.length);
    await decodeRows(engine, { type, bytes, rows, rowLength }, decoded);
    expect((typicalError(type) ?? NaN) / relativeError(decoded)).toBeCloseTo(1, 1);
  },
);

test.each(['affine2-g32', 'affine3-g128', 'affine4-g64', 'affine5-g16', 'affine8-row', 'int8'])(
  'the table knows what %s does to them',
  (scheme) => {
    const spec = affineSpec(scheme);
    if (spec === undefined) throw new Error(`${scheme} is no affine scheme`);
    const error = relativeError(decodeAffine(encodeAffine({ values, rows, rowLength }, spec)));
    expect((typicalError(scheme) ?? NaN) / error).toBeCloseTo(1, 1);
  },
);
