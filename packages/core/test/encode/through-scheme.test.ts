import { decodeAffine, encodeAffine, encodeF16, decodeF16 } from '@bitsmith/formats';
import { beforeAll, describe, expect, test } from 'vitest';
import { throughScheme } from '../../src/encode/through-scheme.js';
import { nativeEngine } from '../../src/engine/session.js';
import { affineSpec } from '../../src/plan/affine-schemes.js';

const rows = 96;
const rowLength = 100;
let values: Float32Array;
let engine: ReturnType<typeof nativeEngine>;

beforeAll(() => {
  engine = nativeEngine({ threads: 2, verbose: false });
  values = Float32Array.from({ length: rows * rowLength }, (_, i) => Math.sin(i * 12.9898) * (1 + (i % 7)));
});

async function through(
  scheme: Parameters<typeof throughScheme>[1]['scheme'],
  from = values,
): Promise<Float32Array> {
  const target = new Float32Array(from.length);
  await throughScheme(engine, { scheme, values: from, rows: from.length / rowLength, rowLength }, target);
  return target;
}

describe('throughScheme', () => {
  test('gives what the codec gives, on threads and beside each other', async () => {
    const schemes = ['affine3-g32', 'affine8-row', 'int8', 'affine2-g16'] as const;
    const found = await Promise.all(schemes.map((scheme) => through(scheme)));
    const importance = new Float32Array(rowLength).fill(1);
    for (const [index, scheme] of schemes.entries()) {
      const encoded = encodeAffine({ values, rows, rowLength, importance }, affineSpec(scheme)!);
      expect(found[index], scheme).toEqual(decodeAffine(encoded));
    }
    expect(values[1]).toBe(Math.fround(Math.sin(12.9898) * 2));
  });

  test('gives what the engine gives', async () => {
    expect(await through('F16')).toEqual(decodeF16(encodeF16(values)));
  });

  test('refuses what the codec refuses, and works on', async () => {
    const broken = values.slice();
    broken[3 * rowLength + 7] = Number.NaN;
    await expect(through('affine4-g32', broken)).rejects.toThrowError(
      expect.objectContaining({
        code: 'VALUES_NOT_FINITE',
        message: expect.stringMatching(/row 3, column 7/) as string,
      }),
    );
    const few = broken.slice(0, 4 * rowLength);
    await expect(through('affine4-g32', few)).rejects.toThrowError(
      expect.objectContaining({ code: 'VALUES_NOT_FINITE' }),
    );
    expect(await through('affine4-g32')).toHaveLength(values.length);
  });
});
