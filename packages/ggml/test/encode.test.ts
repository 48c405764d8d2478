import { tensorTypes, type TensorType } from '@bitsmith/formats';
import { describe, expect, it } from 'vitest';
import {
  checkFinite,
  decodeRows,
  encodedByteLength,
  encodeRows,
  findNonFinite,
  loadEngine,
} from '../src/index.js';
import { importanceWeights, weights } from './support/random.js';

const engine = loadEngine({ threads: 2 });
const rowLength = 512;
const rows = 24;
const values = weights(rows * rowLength, 7);
const importance = importanceWeights(rowLength, 8);

/** Largest relative root mean square error of each type on bell-shaped weights, with importance. */
const bounds: Partial<Record<TensorType, number>> = {
  F32: 0,
  F16: 0.001,
  BF16: 0.003,
  Q4_0: 0.12,
  Q4_1: 0.1,
  Q5_0: 0.06,
  Q5_1: 0.05,
  Q8_0: 0.01,
  Q2_K: 0.4,
  Q3_K: 0.2,
  Q4_K: 0.1,
  Q5_K: 0.05,
  Q6_K: 0.025,
  IQ3_XXS: 0.28,
  IQ3_S: 0.22,
  IQ4_NL: 0.12,
  IQ4_XS: 0.12,
  TQ1_0: 0.85,
  TQ2_0: 0.85,
  MXFP4: 0.15,
  NVFP4: 0.13,
  Q1_0: 0.7,
  Q2_0: 0.85,
};

async function encode(
  type: TensorType,
  options: { lanes?: number; importance?: Float32Array; values?: Float32Array } = {},
): Promise<Uint8Array> {
  const target = new Uint8Array(encodedByteLength(type, rows, rowLength));
  const request = {
    type,
    values: options.values ?? values,
    rows,
    rowLength,
    importance: options.importance ?? importance,
  };
  await encodeRows(engine, request, target, { lanes: options.lanes });
  return target;
}

describe('encodeRows and decodeRows', () => {
  it.each(Object.entries(bounds))('round-trips %s within %f', async (name, bound) => {
    const type = name as TensorType;
    const bytes = await encode(type);
    const decoded = new Float32Array(values.length);
    await decodeRows(engine, { type, bytes, rows, rowLength }, decoded);
    const error = Math.sqrt(
      values.reduce((sum, w, i) => sum + (w - decoded[i]) ** 2, 0) /
        values.reduce((sum, w) => sum + w * w, 0),
    );
    expect(error).toBeLessThanOrEqual(bound);
    expect(await checkFinite(engine, type, bytes)).toBe(true);
  });

  it('gives the same bytes in any number of lanes and slabs', async () => {
    const wide = 4096;
    const many = 300;
    const big = weights(wide * many, 9);
    const columns = importanceWeights(wide, 10);
    for (const type of ['Q8_0', 'Q3_K', 'BF16'] as const) {
      const one = new Uint8Array(encodedByteLength(type, many, wide));
      const four = new Uint8Array(one.length);
      const request = { type, values: big, rows: many, rowLength: wide, importance: columns };
      await encodeRows(engine, request, one);
      await encodeRows(engine, request, four, { lanes: 4 });
      expect(Buffer.compare(one, four)).toBe(0);
      const decoded = [new Float32Array(big.length), new Float32Array(big.length)];
      await decodeRows(engine, { type, bytes: one, rows: many, rowLength: wide }, decoded[0]);
      await decodeRows(engine, { type, bytes: one, rows: many, rowLength: wide }, decoded[1], { lanes: 3 });
      expect(Buffer.compare(new Uint8Array(decoded[0].buffer), new Uint8Array(decoded[1].buffer))).toBe(0);
    }
  });

  it.each(['Q2_K', 'Q4_K', 'Q5_K', 'IQ3_S', 'IQ4_XS'] as const)(
    'encodes %s the same for importance of any scale',
    async (type) => {
      const expected = await encode(type);
      for (const exponent of [-100, -60, 40, 100]) {
        const scaled = importance.map((weight) => weight * 2 ** exponent);
        expect(Buffer.compare(await encode(type, { importance: scaled }), expected)).toBe(0);
      }
    },
  );

  it('stops between slabs when aborted', async () => {
    const controller = new AbortController();
    const long = weights(256 * 8192, 3);
    const request = { type: 'Q2_K', values: long, rows: 8192, rowLength: 256 } as const;
    const work = encodeRows(engine, request, new Uint8Array(encodedByteLength('Q2_K', 8192, 256)), {
      signal: controller.signal,
    });
    controller.abort(new Error('enough'));
    await expect(work).rejects.toThrow('enough');
    await expect(
      encodeRows(engine, request, new Uint8Array(1), { signal: controller.signal }),
    ).rejects.toThrow('enough');
  });
});

describe('misuse that the engine would not survive or notice', () => {
  const size = (type: TensorType): Uint8Array => new Uint8Array(encodedByteLength(type, rows, rowLength));
  const attempt = (
    request: Partial<Parameters<typeof encodeRows>[1]> & { type: TensorType },
    target?: Uint8Array,
  ): Promise<void> =>
    encodeRows(engine, { values, rows, rowLength, importance, ...request }, target ?? size(request.type));
  const withValue = (value: number): Float32Array => values.map((w, i) => (i === 1300 ? value : w));
  const withImportance = (value: number): Float32Array => importance.map((w, i) => (i === 33 ? value : w));

  it.each([
    [
      'a row that is not whole blocks',
      'ROW_NOT_BLOCKS',
      () =>
        encodeRows(
          engine,
          { type: 'Q4_K', values: values.slice(0, 2 * 384), rows: 2, rowLength: 384 },
          new Uint8Array(432),
        ),
    ],
    ['a target that is too small', 'BUFFER_SIZE', () => attempt({ type: 'Q4_K' }, new Uint8Array(10))],
    [
      'a target that is too large',
      'BUFFER_SIZE',
      () => attempt({ type: 'Q4_K' }, new Uint8Array(size('Q4_K').length + 1)),
    ],
    ['too few values', 'BUFFER_SIZE', () => attempt({ type: 'Q4_K', values: values.slice(1) })],
    ['NaN', 'VALUES_NOT_FINITE', () => attempt({ type: 'Q4_K', values: withValue(NaN) })],
    [
      'infinity in a searched type',
      'VALUES_NOT_FINITE',
      () => attempt({ type: 'IQ3_S', values: withValue(Infinity) }),
    ],
    [
      'weights whose squares overflow',
      'VALUES_TOO_LARGE',
      () => attempt({ type: 'IQ3_S', values: withValue(1e20) }),
    ],
    [
      'weights beyond a scale in F16',
      'ENCODED_NOT_FINITE',
      () => attempt({ type: 'Q8_0', values: withValue(1e20) }),
    ],
    ['weights beyond F16', 'ENCODED_NOT_FINITE', () => attempt({ type: 'F16', values: withValue(1e6) })],
    [
      'no importance where it is needed',
      'IMPORTANCE_REQUIRED',
      () => attempt({ type: 'IQ2_XXS', importance: undefined }),
    ],
    [
      'no importance for IQ1_S',
      'IMPORTANCE_REQUIRED',
      () => attempt({ type: 'IQ1_S', importance: undefined }),
    ],
    [
      'no importance for IQ2_XS',
      'IMPORTANCE_REQUIRED',
      () => attempt({ type: 'IQ2_XS', importance: undefined }),
    ],
    [
      'importance of another length',
      'BUFFER_SIZE',
      () => attempt({ type: 'Q4_K', importance: importance.slice(1) }),
    ],
    [
      'importance that is all zero',
      'IMPORTANCE_ZERO',
      () => attempt({ type: 'Q4_K', importance: new Float32Array(rowLength) }),
    ],
    [
      'negative importance',
      'IMPORTANCE_INVALID',
      () => attempt({ type: 'IQ3_S', importance: withImportance(-1) }),
    ],
    [
      'importance that is NaN',
      'IMPORTANCE_INVALID',
      () => attempt({ type: 'Q4_K', importance: withImportance(NaN) }),
    ],
    [
      'infinite importance',
      'IMPORTANCE_INVALID',
      () => attempt({ type: 'Q4_K', importance: withImportance(Infinity) }),
    ],
    ['a type that is gone', 'TENSOR_TYPE', () => attempt({ type: 'Q4_2' as TensorType }, new Uint8Array(4))],
    ['a type for products', 'TENSOR_TYPE', () => attempt({ type: 'Q8_K' }, new Uint8Array(4))],
    ['integers', 'TENSOR_TYPE', () => attempt({ type: 'I32' }, new Uint8Array(4))],
    ['no rows', 'ENGINE_ARGUMENT', () => attempt({ type: 'Q4_K', rows: 0 }, new Uint8Array(0))],
    ['half a row', 'ENGINE_ARGUMENT', () => attempt({ type: 'Q4_K', rows: 0.5 }, new Uint8Array(0))],
    [
      'no lanes',
      'ENGINE_ARGUMENT',
      () => encodeRows(engine, { type: 'Q4_K', values, rows, rowLength }, size('Q4_K'), { lanes: 0 }),
    ],
    [
      'bytes that are not the rows',
      'BUFFER_SIZE',
      () =>
        decodeRows(
          engine,
          { type: 'Q4_K', bytes: new Uint8Array(143), rows: 1, rowLength: 256 },
          new Float32Array(256),
        ),
    ],
    [
      'a decoding target of another size',
      'BUFFER_SIZE',
      () =>
        decodeRows(
          engine,
          { type: 'Q4_K', bytes: new Uint8Array(144), rows: 1, rowLength: 256 },
          new Float32Array(255),
        ),
    ],
    ['parts of blocks to check', 'BUFFER_SIZE', () => checkFinite(engine, 'Q4_K', new Uint8Array(100))],
  ])('refuses %s: %s', async (_what, code, act) => {
    await expect(act()).rejects.toMatchObject({ name: 'BitsmithError', code });
  });

  it('names the place of a value that is not finite', async () => {
    await expect(attempt({ type: 'Q4_K', values: withValue(NaN) })).rejects.toThrow(
      'found NaN at row 2, column 276',
    );
  });
});

describe('finite checks', () => {
  it('finds the first value of each float type', async () => {
    const floats = new Float32Array([1, -0, Number.MAX_VALUE, 2]);
    const bytes = new Uint8Array(floats.buffer);
    expect(await checkFinite(engine, 'F32', bytes)).toBe(false);
    expect(findNonFinite('F32', bytes)).toBe(2);
    const halves = new Uint16Array([0x3c00, 0x7bff, 0xfc00, 0]);
    expect(await checkFinite(engine, 'F16', halves)).toBe(false);
    expect(findNonFinite('F16', new Uint8Array(halves.buffer))).toBe(2);
    const brain = new Uint16Array([0x3f80, 0x7f7f, 0x7fc0]);
    expect(await checkFinite(engine, 'BF16', brain)).toBe(false);
    expect(findNonFinite('BF16', new Uint8Array(brain.buffer))).toBe(2);
  });

  it('passes what is finite', async () => {
    const halves = new Uint16Array([0x3c00, 0x7bff, 0x0001, 0x8000]);
    expect(await checkFinite(engine, 'F16', halves)).toBe(true);
    expect(findNonFinite('F16', new Uint8Array(halves.buffer))).toBe(null);
    expect(findNonFinite('Q4_K', new Uint8Array(144))).toBe(null);
    expect(await checkFinite(engine, 'Q4_K', new Uint8Array(tensorTypes.Q4_K.blockBytes))).toBe(true);
  });
});
