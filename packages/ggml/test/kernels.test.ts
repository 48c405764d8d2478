import { encodeFloats, tensorTypes, type TensorType } from '@bitsmith/formats';
import { describe, expect, it } from 'vitest';
import { bytesOf, encodeByKernel, hasKernel } from '../src/api/kernel-encoder.js';
import { decodeRows, encodedByteLength, encodeStoredRows, loadEngine } from '../src/index.js';
import { drawn, importances, weights } from './support/draws.js';

/** Kernels stand aside where the engine's compiler fuses multiplications with additions. */
const runs = process.arch === 'x64';
const types: readonly TensorType[] = ['Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K', 'Q8_0', 'IQ4_XS'];
/** Compared with the engine by the digest of a sample, here; with the engine itself in the interop suite, as it takes long. */
const slowTypes: readonly TensorType[] = ['IQ1_S', 'IQ1_M', 'IQ2_XXS', 'IQ2_XS', 'IQ2_S', 'IQ3_XXS', 'IQ3_S'];
const slowTypesWithoutImportance: readonly TensorType[] = ['IQ1_M', 'IQ2_S', 'IQ3_XXS', 'IQ3_S'];
const engine = loadEngine({ threads: 2 });
const rows = 16;
const rowLength = 768;

function engineBytes(type: TensorType, values: Float32Array, importance: Float32Array): Uint8Array {
  const target = new Uint8Array(encodedByteLength(type, rows, rowLength));
  const { id } = tensorTypes[type];
  engine.native.ggml_quantize_chunk(id, values, target, 0, rows, rowLength, importance);
  return target;
}

function kernelBytes(
  type: TensorType,
  values: Float32Array,
  importance: Float32Array | undefined,
): { target: Uint8Array; done: Promise<boolean> } {
  const target = new Uint8Array(encodedByteLength(type, rows, rowLength));
  const done = encodeByKernel(engine, type, {
    source: 'F32',
    bytes: bytesOf(values),
    rows,
    rowLength,
    importance,
    limits: { largestImportance: null },
    target,
  });
  return { target, done };
}

describe.runIf(runs)('kernels', () => {
  it.each(types)('%s: the bytes of the engine, whatever the weights', async (type) => {
    for (const [weightName, weight] of Object.entries(weights)) {
      for (const [importanceName, column] of Object.entries(importances)) {
        const values = drawn(weight, rows * rowLength, 1);
        const importance = drawn(column, rowLength, 2);
        const { target, done } = kernelBytes(type, values, importance);
        expect(await done).toBe(true);
        const equal = Buffer.compare(target, engineBytes(type, values, importance)) === 0;
        expect(equal, `${weightName} weights, ${importanceName} importance`).toBe(true);
      }
    }
  });

  it.each(slowTypes)('%s: the bytes of the engine in a sample', async (type) => {
    expect(await hasKernel(engine, type)).toBe(true);
  });

  it.each(slowTypesWithoutImportance)(
    '%s: the bytes of the engine in a sample, without importance',
    async (type) => {
      const values = drawn(weights['normal'], rows * rowLength, 1);
      expect(await kernelBytes(type, values, undefined).done).toBe(true);
    },
  );

  it('round halves away from zero in Q8_0, as C does', async () => {
    const values = Float32Array.from({ length: rows * rowLength }, (_, index) =>
      index % 32 === 0 ? 127 : ((index * 7) % 253) / 2 - 63,
    );
    expect(values[1]).toBe(-59.5);
    const { target, done } = kernelBytes('Q8_0', values, undefined);
    expect(await done).toBe(true);
    expect(new Int8Array(target.buffer, 2, 2)).toEqual(Int8Array.of(127, -60));
    expect(
      Buffer.compare(
        target,
        engineBytes(
          'Q8_0',
          values,
          drawn(() => 1, rowLength, 1),
        ),
      ),
    ).toBe(0);
  });

  it('serve more requests at once than there are lanes', async () => {
    const importance = drawn(importances['lognormal'], rowLength, 3);
    const requests = Array.from({ length: 9 }, (_, index) => {
      const values = drawn(weights['normal'], rows * rowLength, index);
      return { values, ...kernelBytes('Q4_K', values, importance) };
    });
    for (const { values, target, done } of requests) {
      expect(await done).toBe(true);
      expect(Buffer.compare(target, engineBytes('Q4_K', values, importance))).toBe(0);
    }
  });

  it('leave to the engine what they cannot do', async () => {
    const values = drawn(weights['normal'], rows * rowLength, 1);
    expect(await kernelBytes('Q4_K', values, undefined).done).toBe(false);
    expect(await kernelBytes('IQ2_XS', values, undefined).done).toBe(false);
    expect(await kernelBytes('IQ4_NL', values, drawn(importances['equal'], rowLength, 1)).done).toBe(false);
  });
});

describe.runIf(runs)('stored rows', () => {
  const stored = (type: 'F16' | 'BF16' | 'F32', values: Float32Array) => ({
    type,
    bytes: encodeFloats(type, values),
  });
  const encode = async (
    type: TensorType,
    rowsAsStored: ReturnType<typeof stored>,
    importance: Float32Array,
  ): Promise<Uint8Array | null> => {
    const target = new Uint8Array(encodedByteLength(type, rows, rowLength));
    const request = { type, stored: rowsAsStored, rows, rowLength, importance };
    return (await encodeStoredRows(engine, request, target)) ? target : null;
  };
  const importance = drawn(importances['lognormal'], rowLength, 2);

  it.each(['F16', 'BF16', 'F32'] as const)('of %s have the bytes of their decoded floats', async (source) => {
    for (const type of ['Q8_0', 'Q4_K'] as const) {
      for (const name of ['normal', 'of all magnitudes', 'all minus zero', 'mostly zero']) {
        const given = stored(source, drawn(weights[name], rows * rowLength, 1));
        const values = new Float32Array(rows * rowLength);
        await decodeRows(engine, { ...given, rows, rowLength }, values);
        const found = (await encode(type, given, importance)) ?? new Uint8Array(0);
        const equal = Buffer.compare(found, engineBytes(type, values, importance)) === 0;
        expect(equal, `${name} in ${type}`).toBe(true);
      }
    }
  });

  it.each(['F16', 'BF16', 'F32'] as const)('of %s that are not all finite are left alone', async (source) => {
    for (const bad of [Number.NaN, Infinity, -Infinity]) {
      const values = drawn(weights['normal'], rows * rowLength, 1);
      values[rows * rowLength - 5] = bad;
      expect(await encode('Q8_0', stored(source, values), importance)).toBe(null);
    }
  });

  it('are left alone where their search would leave the range of float32', async () => {
    const normal = drawn(weights['normal'], rows * rowLength, 1);
    const far = [
      { values: normal.map((value) => value * 1e9), columns: importance },
      { values: normal.map((value) => value * 1e-9), columns: importance },
      { values: normal, columns: importance.map((value) => value * 1e-20) },
      { values: normal, columns: importance.map((value) => value * 1e20) },
    ];
    for (const { values, columns } of far) {
      expect(await encode('Q4_K', stored('F32', values), columns)).toBe(null);
    }
    expect(await encode('Q8_0', stored('F32', far[1].values), importance)).not.toBe(null);
  });

  it('of types that lanes do not decode are left alone', async () => {
    const bytes = new Uint8Array(encodedByteLength('Q8_0', rows, rowLength));
    const target = new Uint8Array(encodedByteLength('Q4_K', rows, rowLength));
    const request = { type: 'Q4_K', stored: { type: 'Q8_0', bytes }, rows, rowLength, importance } as const;
    expect(await encodeStoredRows(engine, request, target)).toBe(false);
  });
});
