import type { TensorType } from '@bitsmith/formats';
import type { ObservedNode, ObservedTensor } from '@bitsmith/ggml';
import { describe, expect, test } from 'vitest';
import { ImportanceAccumulator } from '../../src/calibrate/accumulator.js';
import { ImportanceObserver } from '../../src/calibrate/observer.js';
import { gaussian, randomFrom } from '../support/random.js';

type Four = readonly [number, number, number, number];

interface Laid {
  readonly name?: string;
  readonly op?: string;
  readonly type?: TensorType;
  readonly shape: Four;
  readonly strides?: Four;
  readonly data?: Float32Array | Int32Array;
  readonly address?: bigint;
}

let nextAddress = 0x1000n;

/** A tensor as the engine shows it: its own shape, strides in bytes, data in place. */
function tensor({
  name = '',
  op = 'NONE',
  type = 'F32',
  shape,
  strides,
  data,
  address,
}: Laid): ObservedTensor {
  const at = address ?? (nextAddress += 0x100n);
  const contiguous: Four = [4, 4 * shape[0], 4 * shape[0] * shape[1], 4 * shape[0] * shape[1] * shape[2]];
  return {
    address: at,
    name,
    op,
    type,
    shape,
    strides: strides ?? contiguous,
    dataAddress: at,
    onHost: true,
    floats: () => data as Float32Array,
    integers: () => data as Int32Array,
  };
}

function node(op: string, ...sources: ObservedTensor[]): ObservedNode {
  return {
    ...tensor({ op, shape: [1, 1, 1, 1] }),
    sourceCount: sources.length,
    source: (index) => sources[index],
  };
}

const weight = (name: string, shape: Four): ObservedTensor => tensor({ name, type: 'BF16', shape });

function randomFloats(seed: number, length: number): Float32Array {
  const random = randomFrom(seed);
  return Float32Array.from({ length }, () => gaussian(random));
}

function observe(...nodes: ObservedNode[]) {
  const accumulator = new ImportanceAccumulator(8);
  const observer = new ImportanceObserver(accumulator);
  for (const each of nodes) if (observer.wants(each)) observer.take(each);
  return accumulator.toImportanceMatrix({ dataset: '', chunks: 1, contextTokens: 16 }).entries;
}

describe('what is wanted', () => {
  test('a weight that was copied to a device counts under its own name', () => {
    const input = tensor({ shape: [4, 16, 1, 1], data: randomFloats(1, 64) });
    const original = observe(node('MUL_MAT', weight('blk.0.attn_q.weight', [4, 2, 1, 1]), input));
    const copy = observe(node('MUL_MAT', weight('Vulkan0#blk.0.attn_q.weight#0', [4, 2, 1, 1]), input));
    expect([...copy.keys()]).toEqual(['blk.0.attn_q.weight']);
    expect(copy).toEqual(original);
  });

  const input = (rows: number, type: TensorType = 'F32') => tensor({ shape: [4, rows, 1, 1], type });
  const observer = new ImportanceObserver(new ImportanceAccumulator(8));
  const wants = (op: string, name: string, source = input(16)) =>
    observer.wants(node(op, weight(name, [4, 8, 1, 1]), source));

  test('products with weights of blocks, the output head, a tied embedding', () => {
    for (const name of [
      'blk.0.attn_q.weight',
      'blk.31.ffn_down.weight',
      'output.weight',
      'token_embd.weight',
    ])
      expect(wants('MUL_MAT', name)).toBe(true);
  });

  test('no other tensors, no other operations', () => {
    for (const name of ['output_norm.weight', 'kq', 'v.blk.0.attn_q.weight', '']) {
      expect(wants('MUL_MAT', name)).toBe(false);
    }
    expect(wants('GET_ROWS', 'token_embd.weight')).toBe(false);
    expect(wants('MUL', 'blk.0.attn_norm.weight')).toBe(false);
  });

  test('no batches below 16 rows, no inputs that are not F32, as in llama-imatrix', () => {
    expect(wants('MUL_MAT', 'blk.0.attn_q.weight', input(15))).toBe(false);
    expect(wants('MUL_MAT', 'blk.0.attn_q.weight', input(16, 'F16'))).toBe(false);
  });
});

describe('dense weights', () => {
  const values = randomFloats(1, 16 * 4);
  const squares = [0, 1, 2, 3].map((column) =>
    Array.from({ length: 16 }, (_, row) => values[row * 4 + column] ** 2).reduce((a, b) => a + b),
  );

  test('sum of squares by column, and the rows', () => {
    const input = tensor({ shape: [4, 16, 1, 1], data: values });
    const entry = observe(node('MUL_MAT', weight('blk.0.attn_q.weight', [4, 8, 1, 1]), input)).get(
      'blk.0.attn_q.weight',
    );
    expect(entry).toMatchObject({ columns: 4, matrices: 1, counts: Float32Array.of(16) });
    expect(entry?.inSum2).toEqual(Float32Array.from(squares));
  });

  test('weights that read one tensor get the same sums; a second batch at the same address is read anew', () => {
    const first = tensor({ shape: [4, 16, 1, 1], data: values, address: 7n });
    const second = tensor({ shape: [4, 16, 1, 1], data: values.map((value) => 2 * value), address: 7n });
    const [q, k] = ['q', 'k'].map((name) => weight(`blk.0.attn_${name}.weight`, [4, 8, 1, 1]));
    const entries = observe(
      node('MUL_MAT', q, first),
      node('MUL_MAT', k, first),
      node('MUL_MAT', q, second),
      node('MUL_MAT', k, second),
    );
    for (const name of ['blk.0.attn_q.weight', 'blk.0.attn_k.weight']) {
      expect(entries.get(name)?.counts).toEqual(Float32Array.of(32));
      expect(entries.get(name)?.inSum2).toEqual(Float32Array.from(squares.map((sum) => sum + 4 * sum)));
    }
  });

  test('rows lie where the strides say', () => {
    const spread = new Float32Array(16 * 6).fill(99);
    for (let row = 0; row < 16; row++) spread.set(values.subarray(row * 4, row * 4 + 4), row * 6);
    const input = tensor({ shape: [4, 16, 1, 1], strides: [4, 24, 24 * 16, 24 * 16], data: spread });
    const entry = observe(node('MUL_MAT', weight('blk.0.attn_q.weight', [4, 8, 1, 1]), input)).get(
      'blk.0.attn_q.weight',
    );
    expect(entry?.inSum2).toEqual(Float32Array.from(squares));
  });

  test('an input of three axes against a flat weight counts all its rows', () => {
    const three = randomFloats(2, 2 * 16 * 3 * 3);
    const input = tensor({ shape: [3, 16, 2, 1], data: three.subarray(0, 96) });
    const entry = observe(node('MUL_MAT', weight('blk.0.attn_q.weight', [3, 8, 1, 1]), input)).get(
      'blk.0.attn_q.weight',
    );
    expect(entry?.counts).toEqual(Float32Array.of(32));
    const sum = [0, 1, 2].map((column) =>
      Array.from({ length: 32 }, (_, row) => three[row * 3 + column] ** 2).reduce((a, b) => a + b),
    );
    expect(entry?.inSum2).toEqual(Float32Array.from(sum));
  });

  test('a weight of several matrices keeps them apart', () => {
    const data = randomFloats(3, 3 * 16 * 2);
    const input = tensor({ shape: [3, 16, 2, 1], data });
    const entry = observe(node('MUL_MAT', weight('blk.0.attn_k_b.weight', [3, 8, 2, 1]), input)).get(
      'blk.0.attn_k_b.weight',
    );
    expect(entry).toMatchObject({ columns: 3, matrices: 2, counts: Float32Array.of(16, 16) });
    const sums = Array.from({ length: 6 }, (_, index) => {
      const [matrix, column] = [Math.floor(index / 3), index % 3];
      return Array.from({ length: 16 }, (_row, row) => data[(matrix * 16 + row) * 3 + column] ** 2).reduce(
        (a, b) => a + b,
      );
    });
    expect(entry?.inSum2).toEqual(Float32Array.from(sums));
  });
});

describe('experts', () => {
  test('each token goes to the experts that were chosen for it', () => {
    const data = randomFloats(4, 2 * 2 * 3);
    // Two columns, two slots, three tokens; ids in rows of four, of which two are used.
    const input = tensor({ shape: [2, 2, 3, 1], data });
    const ids = tensor({
      type: 'I32',
      shape: [2, 3, 1, 1],
      strides: [4, 16, 48, 48],
      data: Int32Array.of(0, 2, -1, -1, 2, 1, -1, -1, 2, 0),
    });
    const entry = observe(
      node('MUL_MAT_ID', weight('blk.0.ffn_down_exps.weight', [2, 5, 4, 1]), input, ids),
    ).get('blk.0.ffn_down_exps.weight');
    expect(entry).toMatchObject({ columns: 2, matrices: 4, counts: Float32Array.of(2, 1, 3, 0) });
    const square = (token: number, slot: number, column: number) =>
      data[(token * 2 + slot) * 2 + column] ** 2;
    const expected = [0, 1].map((column) => square(0, 0, column) + square(2, 1, column));
    expect(entry?.inSum2.subarray(0, 2)).toEqual(Float32Array.from(expected));
    expect([...(entry?.inSum2.subarray(6) ?? [])]).toEqual([0, 0]);
  });

  test('an input shared by all slots (gate, up) is read once for each', () => {
    const data = Float32Array.of(1, 2, 3, 4);
    const input = tensor({ shape: [2, 1, 2, 1], data });
    const ids = tensor({ type: 'I32', shape: [2, 2, 1, 1], data: Int32Array.of(0, 1, 1, 0) });
    const entry = observe(
      node('MUL_MAT_ID', weight('blk.0.ffn_up_exps.weight', [2, 5, 2, 1]), input, ids),
    ).get('blk.0.ffn_up_exps.weight');
    expect(entry?.counts).toEqual(Float32Array.of(2, 2));
    expect(entry?.inSum2).toEqual(Float32Array.of(10, 20, 10, 20));
  });
});
