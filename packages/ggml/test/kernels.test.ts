import { tensorTypes, type TensorType } from '@bitsmith/formats';
import { describe, expect, it } from 'vitest';
import { encodeByKernel } from '../src/api/kernel-encoder.js';
import { encodedByteLength, loadEngine } from '../src/index.js';
import { uniform } from './support/random.js';

/** Kernels stand aside where the engine's compiler fuses multiplications with additions. */
const runs = process.arch === 'x64';
const types: readonly TensorType[] = ['Q2_K', 'Q4_K', 'Q5_K', 'IQ4_XS'];
const engine = loadEngine({ threads: 2 });
const rows = 16;
const rowLength = 768;

type Draw = (index: number, normal: () => number) => number;

/** Weights as models have them, and as none has. */
const weights: Readonly<Record<string, Draw>> = {
  normal: (_, normal) => 0.03 * normal(),
  'heavy-tailed': (_, normal) => normal() * Math.exp(2 * normal()),
  'mostly zero': (_, normal) => (normal() > 0.8 ? normal() : 0),
  'all zero': () => 0,
  'all minus zero': () => -0,
  'one constant': () => -0.5,
  'a constant a sub-block': (index) => (Math.floor(index / 32) % 3) - 1,
  negative: (_, normal) => -Math.abs(normal()) - 1e-9,
  'negative, one almost zero': (index, normal) => (index % 32 === 0 ? -1e-8 : -Math.abs(normal())),
  'negative, nearly equal': (_, normal) => -1 - 1e-6 * normal(),
  positive: (_, normal) => Math.abs(normal()),
  'small integers': (_, normal) => Math.round(2 * normal()),
  'of all magnitudes': (index, normal) => normal() * 10 ** -(Math.floor(index / 32) % 8),
  tiny: (_, normal) => 1e-12 * normal(),
  'far below half precision': (_, normal) => 1e-20 * normal(),
  subnormal: (_, normal) => 1e-41 * normal(),
  large: (_, normal) => 1e6 * normal(),
  'one large': (index) => (index % 97 === 0 ? 100 : 0),
};

const importances: Readonly<Record<string, Draw>> = {
  equal: () => 1,
  lognormal: (_, normal) => Math.exp(2 * normal()),
  'partly zero': (index, normal) => (index % 3 === 0 ? Math.exp(normal()) : 0),
  'zero in sub-blocks': (index) => Math.floor(index / 32) % 2,
  'one channel': (index) => (index === 0 ? 1 : 0),
  large: (_, normal) => 1e9 * Math.abs(normal()),
};

function drawn(draw: Draw, count: number, seed: number): Float32Array {
  const next = uniform(seed);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  return Float32Array.from({ length: count }, (_, index) => draw(index, normal));
}

function engineBytes(type: TensorType, values: Float32Array, importance: Float32Array): Uint8Array {
  const target = new Uint8Array(encodedByteLength(type, rows, rowLength));
  const { id } = tensorTypes[type];
  engine.native.ggml_quantize_chunk(id, values, target, 0, rows, rowLength, importance);
  return target;
}

describe.runIf(runs)('kernels', () => {
  it.each(types)('%s: the bytes of the engine, whatever the weights', async (type) => {
    for (const [weightName, weight] of Object.entries(weights)) {
      for (const [importanceName, column] of Object.entries(importances)) {
        const values = drawn(weight, rows * rowLength, 1);
        const importance = drawn(column, rowLength, 2);
        const target = new Uint8Array(encodedByteLength(type, rows, rowLength));
        const done = await encodeByKernel(engine, type, { values, target, rows, rowLength }, importance);
        expect(done).toBe(true);
        const equal = Buffer.compare(target, engineBytes(type, values, importance)) === 0;
        expect(equal, `${weightName} weights, ${importanceName} importance`).toBe(true);
      }
    }
  });

  it('serve more requests at once than there are lanes', async () => {
    const importance = drawn(importances['lognormal'], rowLength, 3);
    const requests = Array.from({ length: 9 }, (_, index) => {
      const values = drawn(weights['normal'], rows * rowLength, index);
      return { values, target: new Uint8Array(encodedByteLength('Q4_K', rows, rowLength)), rows, rowLength };
    });
    await Promise.all(requests.map((request) => encodeByKernel(engine, 'Q4_K', request, importance)));
    for (const { values, target } of requests) {
      expect(Buffer.compare(target, engineBytes('Q4_K', values, importance))).toBe(0);
    }
  });

  it('leave to the engine what they cannot do', async () => {
    const values = drawn(weights['normal'], rows * rowLength, 1);
    const request = (type: TensorType) => ({
      values,
      target: new Uint8Array(encodedByteLength(type, rows, rowLength)),
      rows,
      rowLength,
    });
    const importance = drawn(importances['equal'], rowLength, 1);
    expect(await encodeByKernel(engine, 'Q4_K', request('Q4_K'), undefined)).toBe(false);
    expect(await encodeByKernel(engine, 'Q6_K', request('Q6_K'), importance)).toBe(false);
  });
});
