import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LlamaContext, LlamaModel, loadEngine, type TokenBatch } from '../src/index.js';
import { logitsOf, randomBatch, sameBits } from './support/batches.js';
import {
  hidden,
  loadTensors,
  matrixNames,
  temporaryFolder,
  vocabularySize,
  writeTinyModel,
} from './support/tiny-model.js';

const engine = loadEngine({ threads: 1 });
const folder = temporaryFolder();
let model: LlamaModel;
let context: LlamaContext;

beforeAll(async () => {
  await writeTinyModel(folder.at('tiny.gguf'));
  model = await LlamaModel.open(engine, folder.at('tiny.gguf'));
  context = LlamaContext.create(model, { contextTokens: 512, sequences: 2 });
});
afterAll(() => {
  context.dispose();
  model.dispose();
  folder.remove();
});

describe('LlamaContext', () => {
  it('computes logits of every output, in the order of the batch', () => {
    const batch = randomBatch(2, 32);
    const all = logitsOf(context, batch);
    expect(all).toHaveLength(64 * vocabularySize);
    expect(all.every(Number.isFinite)).toBe(true);
    const outputs = batch.outputs.map((_, i) => (i % 3 === 0 ? 1 : 0));
    const some = logitsOf(context, { ...batch, outputs });
    expect(some).toHaveLength(22 * vocabularySize);
    for (let row = 0; row < 22; row++) {
      const from = all.subarray(3 * row * vocabularySize, (3 * row + 1) * vocabularySize);
      expect(sameBits(some.subarray(row * vocabularySize, (row + 1) * vocabularySize), from)).toBe(true);
    }
  });

  it('keeps sequences apart, and continues them', () => {
    const batch = randomBatch(2, 32);
    const together = logitsOf(context, batch);
    const part = (from: number, to: number, sequence: number): TokenBatch => ({
      tokens: batch.tokens.slice(from, to),
      positions: batch.positions.slice(from, to),
      sequenceIds: new Int32Array(to - from).fill(sequence),
      outputs: new Uint8Array(to - from).fill(1),
    });
    const second = logitsOf(context, part(32, 64, 0));
    expectClose(second, together.subarray(32 * vocabularySize));
    context.clearMemory();
    context.decode(part(0, 20, 1));
    context.decode(part(20, 32, 1));
    expectClose(context.logits(), together.subarray(20 * vocabularySize, 32 * vocabularySize));
  });

  it('computes the same on another thread', async () => {
    const batch = randomBatch(2, 32);
    const here = logitsOf(context, batch);
    context.clearMemory();
    const work = context.decodeAsync(batch);
    expect(() => context.logits()).toThrow(expect.objectContaining({ code: 'CONTEXT_BUSY' }));
    expect(() => context.decode(batch)).toThrow(expect.objectContaining({ code: 'CONTEXT_BUSY' }));
    expect(() => context.clearMemory()).toThrow(expect.objectContaining({ code: 'CONTEXT_BUSY' }));
    expect(() => context.dispose()).toThrow(expect.objectContaining({ code: 'CONTEXT_BUSY' }));
    await work;
    expect(sameBits(context.logits(), here)).toBe(true);
  });

  function expectClose(found: Float32Array, expected: Float32Array): void {
    expect(found.length).toBe(expected.length);
    found.forEach((value, i) => {
      if (Math.abs(value - expected[i]) > 1e-4) expect(value).toBeCloseTo(expected[i], 4);
    });
  }
});

describe('misuse of a context', () => {
  const batch = randomBatch(2, 16);
  const changed = (key: keyof TokenBatch, index: number, value: number): TokenBatch => {
    const array = batch[key].slice();
    array[index] = value;
    return { ...batch, [key]: array };
  };

  it.each<[string, string, () => TokenBatch]>([
    ['an empty batch', 'BATCH_SIZE', () => randomBatch(1, 0)],
    ['a batch beyond its size', 'BATCH_SIZE', () => randomBatch(1, 513)],
    ['arrays of unequal length', 'BATCH_SIZE', () => ({ ...batch, outputs: new Uint8Array(3) })],
    ['a token beyond the vocabulary', 'TOKEN_RANGE', () => changed('tokens', 5, vocabularySize)],
    ['a negative token', 'TOKEN_RANGE', () => changed('tokens', 5, -1)],
    ['a sequence beyond the last', 'BATCH_SEQUENCE', () => changed('sequenceIds', 20, 2)],
    ['a negative sequence', 'BATCH_SEQUENCE', () => changed('sequenceIds', 0, -1)],
    ['a gap in positions', 'BATCH_POSITION', () => changed('positions', 4, 5)],
    ['a sequence that does not begin at 0', 'BATCH_POSITION', () => changed('positions', 16, 1)],
    ['more than a sequence holds', 'BATCH_POSITION', () => randomBatch(1, 257)],
  ])('refuses %s: %s', (_what, code, make) => {
    context.clearMemory();
    expect(() => context.decode(make())).toThrow(expect.objectContaining({ name: 'BitsmithError', code }));
  });

  it('refuses to repeat positions before the memory is cleared', () => {
    context.clearMemory();
    context.decode(batch);
    expect(() => context.decode(batch)).toThrow(expect.objectContaining({ code: 'BATCH_POSITION' }));
    context.clearMemory();
    context.decode(batch);
  });

  it('refuses logits that were not asked for', () => {
    context.clearMemory();
    context.decode({ ...batch, outputs: new Uint8Array(32) });
    expect(() => context.logits()).toThrow(expect.objectContaining({ code: 'NO_OUTPUTS' }));
  });

  it.each([
    ['no tokens', { contextTokens: 0 }, 'ENGINE_ARGUMENT'],
    ['a batch larger than the context', { contextTokens: 8, batchTokens: 9 }, 'ENGINE_ARGUMENT'],
    ['no sequences', { contextTokens: 8, sequences: 0 }, 'ENGINE_ARGUMENT'],
    ['too many sequences', { contextTokens: 1000, sequences: 1000 }, 'ENGINE_ARGUMENT'],
    ['fewer tokens than sequences', { contextTokens: 2, sequences: 3 }, 'ENGINE_ARGUMENT'],
    ['no threads', { contextTokens: 8, threads: 0 }, 'THREAD_COUNT'],
    ['more threads than processors', { contextTokens: 8, threads: 100_000 }, 'THREAD_COUNT'],
  ])('refuses a context of %s', (_what, options, code) => {
    expect(() => LlamaContext.create(model, options)).toThrow(expect.objectContaining({ code }));
  });
});

describe('observing', () => {
  it('shows every weight matrix with its input', async () => {
    const inputs = new Map<string, Float32Array>();
    const tensors = await loadTensors(folder.at('tiny.gguf'));
    const observed = LlamaContext.create(model, {
      contextTokens: 64,
      observe: {
        wants: (node) =>
          node.op === 'MUL_MAT' && node.source(0).op === 'NONE' && node.source(0).name.endsWith('.weight'),
        take: (node) => {
          const weight = node.source(0);
          const input = node.source(1);
          expect(node.sourceCount).toBe(2);
          expect(weight.type).toBe('F32');
          expect(weight.onHost).toBe(true);
          expect([...weight.shape]).toEqual([
            tensors.get(weight.name)?.rowLength,
            tensors.get(weight.name)?.rows,
            1,
            1,
          ]);
          expect(input.shape[1]).toBe(16);
          expect(node.shape[0]).toBe(weight.shape[1]);
          inputs.set(weight.name, input.floats().slice());
          expectFirstProduct(weight.floats(), input.floats(), node.floats(), weight.shape[0]);
          expect(() => input.integers()).toThrow(expect.objectContaining({ code: 'NODE_TYPE' }));
          expect(() => node.source(2)).toThrow(expect.objectContaining({ code: 'NODE_SOURCE' }));
        },
      },
    });
    const logits = logitsOf(observed, randomBatch(1, 16));
    expect([...inputs.keys()].sort()).toEqual(
      matrixNames.filter((name) => name !== 'token_embd.weight').sort(),
    );
    expect(inputs.get('output.weight')).toHaveLength(16 * hidden);
    expect(sameBits(logits, logitsOf(context, randomBatch(1, 16)))).toBe(true);
    observed.dispose();
  });

  it('brings an exception of the observer out, and goes on afterwards', () => {
    let failing = true;
    const observed = LlamaContext.create(model, {
      contextTokens: 64,
      observe: {
        wants: (node) => node.op === 'MUL_MAT',
        take: () => {
          if (failing) throw new Error('seen enough');
        },
      },
    });
    const batch = randomBatch(1, 8);
    expect(() => observed.decode(batch)).toThrow('seen enough');
    failing = false;
    expect(sameBits(logitsOf(observed, batch), logitsOf(context, batch))).toBe(true);
    observed.dispose();
  });

  function expectFirstProduct(
    weight: Float32Array,
    input: Float32Array,
    output: Float32Array,
    columns: number,
  ): void {
    let product = 0;
    for (let i = 0; i < columns; i++) product += weight[i] * input[i];
    expect(output[0]).toBeCloseTo(product, 3);
  }
});
