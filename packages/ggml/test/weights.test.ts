import type { TensorType } from '@bitsmith/formats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  alignedBytes,
  encodedByteLength,
  encodeRows,
  LlamaContext,
  LlamaModel,
  loadEngine,
  quantizeFile,
  WeightSlots,
} from '../src/index.js';
import { logitsOf, randomBatch, sameBits } from './support/batches.js';
import { importanceWeights } from './support/random.js';
import {
  type LoadedTensor,
  loadTensors,
  matrixNames,
  temporaryFolder,
  writeTinyModel,
} from './support/tiny-model.js';

const engine = loadEngine({ threads: 1 });
const folder = temporaryFolder();
const path = folder.at('tiny.gguf');
const batch = randomBatch(2, 32);
let tensors: Map<string, LoadedTensor>;
let importance: Map<string, Float32Array>;
let model: LlamaModel;
let context: LlamaContext;
let slots: WeightSlots;
let untouched: Float32Array;

beforeAll(async () => {
  await writeTinyModel(path);
  tensors = await loadTensors(path);
  importance = new Map(matrixNames.map((name, i) => [name, importanceWeights(tensor(name).rowLength, i)]));
  model = await LlamaModel.open(engine, path);
  context = LlamaContext.create(model, { contextTokens: 512, sequences: 2 });
  untouched = logitsOf(context, batch);
  slots = WeightSlots.discover(context);
});
afterAll(() => {
  context.dispose();
  model.dispose();
  folder.remove();
});

function tensor(name: string): LoadedTensor {
  const found = tensors.get(name);
  if (found === undefined) throw new Error(name);
  return found;
}

async function encoded(name: string, type: TensorType, weights = importance.get(name)): Promise<Uint8Array> {
  const { rows, rowLength, bytes } = tensor(name);
  const values = new Float32Array(bytes.slice().buffer);
  const target = alignedBytes(encodedByteLength(type, rows, rowLength));
  await encodeRows(engine, { type, values, rows, rowLength, importance: weights }, target);
  return target;
}

describe('WeightSlots', () => {
  it('finds every matrix, and computes as before', () => {
    expect([...slots.names].sort()).toEqual([...matrixNames].sort());
    expect(slots.describe('blk.1.ffn_down.weight')).toEqual({
      type: 'F32',
      shape: [512, 256, 1, 1],
      replacedBy: null,
    });
    expect(WeightSlots.discover(model)).toBe(slots);
    expect(sameBits(logitsOf(context, batch), untouched)).toBe(true);
  });

  it.each<TensorType>([
    'F16',
    'BF16',
    'Q8_0',
    'Q6_K',
    'Q5_K',
    'Q4_K',
    'Q3_K',
    'Q2_K',
    'IQ4_XS',
    'IQ4_NL',
    'IQ3_S',
    'IQ3_XXS',
    'Q4_0',
    'Q4_1',
    'Q5_0',
    'Q5_1',
    'TQ1_0',
    'TQ2_0',
    'MXFP4',
    'NVFP4',
    'Q1_0',
    'Q2_0',
  ])('computes with %s in place, bit for bit, as with the written file', async (type) => {
    const output = folder.at(`${type}.gguf`);
    await quantizeFile(engine, {
      source: path,
      output,
      fileType: 'Q8_0',
      tensorTypes: [{ pattern: '.', type }],
      tokenEmbeddingType: type,
      outputTensorType: type,
      importance,
    });
    const written = await loadTensors(output);
    for (const name of slots.names) {
      const bytes = await encoded(name, type);
      expect(Buffer.compare(bytes, written.get(name)?.bytes ?? new Uint8Array(0)), name).toBe(0);
      slots.replace(name, type, bytes);
      expect(slots.describe(name).replacedBy).toBe(type);
    }
    const inPlace = logitsOf(context, batch);
    slots.restoreAll();
    expect(sameBits(logitsOf(context, batch), untouched)).toBe(true);
    expect(sameBits(inPlace, untouched)).toBe(false);
    const file = await LlamaModel.open(engine, output);
    const fileContext = LlamaContext.create(file, { contextTokens: 512, sequences: 2 });
    expect(sameBits(logitsOf(fileContext, batch), inPlace)).toBe(true);
    fileContext.dispose();
    file.dispose();
  });

  it('mixes types, one weight at a time, in contexts that came before and after', async () => {
    slots.replace('blk.0.attn_q.weight', 'Q2_K', await encoded('blk.0.attn_q.weight', 'Q2_K'));
    const one = logitsOf(context, batch);
    slots.replace('blk.1.ffn_down.weight', 'Q8_0', await encoded('blk.1.ffn_down.weight', 'Q8_0'));
    const later = LlamaContext.create(model, { contextTokens: 512, sequences: 2 });
    const two = logitsOf(later, batch);
    expect(sameBits(logitsOf(context, batch), two)).toBe(true);
    expect(sameBits(one, two)).toBe(false);
    slots.restore('blk.1.ffn_down.weight');
    expect(sameBits(logitsOf(later, batch), one)).toBe(true);
    slots.restore('blk.0.attn_q.weight');
    expect(sameBits(logitsOf(later, batch), untouched)).toBe(true);
    later.dispose();
  });

  it('survives 500 replacements without growing', async () => {
    const types: TensorType[] = ['Q4_K', 'Q8_0', 'Q3_K', 'F16', 'IQ4_XS', 'TQ2_0'];
    const small = randomBatch(1, 4);
    const round = (k: number): void => {
      const name = slots.names[k % slots.names.length];
      const type = types[k % types.length];
      const { rows, rowLength } = tensor(name);
      slots.replace(name, type, alignedBytes(encodedByteLength(type, rows, rowLength)));
      logitsOf(context, small);
      if (k % 3 === 0) slots.restore(name);
    };
    for (let k = 0; k < 200; k++) round(k);
    const before = process.memoryUsage().rss;
    for (let k = 200; k < 500; k++) round(k);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
    slots.restoreAll();
    expect(sameBits(logitsOf(context, batch), untouched)).toBe(true);
  });

  it('never writes to the file', async () => {
    expect((await loadTensors(path)).get('output.weight')?.bytes).toEqual(tensor('output.weight').bytes);
  });
});

describe('WeightSlots of other shapes of model', () => {
  it.each([
    ['tied', { tied: true }],
    ['mixture of experts', { experts: 4 }],
  ])('computes as the written file: %s', async (kind, options) => {
    const source = folder.at(`${kind}.gguf`);
    const output = folder.at(`${kind}-quantized.gguf`);
    await writeTinyModel(source, options);
    await quantizeFile(engine, {
      source,
      output,
      fileType: 'Q4_K_M',
      tokenEmbeddingType: 'Q3_K',
      tensorTypes: [{ pattern: 'exps', type: 'Q5_K' }],
    });
    const opened = await LlamaModel.open(engine, source);
    const live = LlamaContext.create(opened, { contextTokens: 512, sequences: 2 });
    const before = logitsOf(live, batch);
    const liveSlots = WeightSlots.discover(live);
    for (const [name, { type, bytes }] of await loadTensors(output)) {
      if (!liveSlots.has(name)) continue;
      const aligned = alignedBytes(bytes.byteLength);
      aligned.set(bytes);
      liveSlots.replace(name, type, aligned);
    }
    expect(liveSlots.names).toContain('tied' in options ? 'token_embd.weight' : 'blk.1.ffn_down_exps.weight');
    const written = await LlamaModel.open(engine, output);
    const reference = LlamaContext.create(written, { contextTokens: 512, sequences: 2 });
    expect(sameBits(logitsOf(live, batch), logitsOf(reference, batch))).toBe(true);
    liveSlots.restoreAll();
    expect(sameBits(logitsOf(live, batch), before)).toBe(true);
    for (const context of [live, reference]) context.dispose();
    for (const model of [opened, written]) model.dispose();
  });
});

describe('misuse of weight slots', () => {
  const name = 'blk.0.attn_q.weight';

  it.each<[string, string, () => void]>([
    ['an unknown name', 'WEIGHT_UNKNOWN', () => slots.replace('blk.9.attn_q.weight', 'F32', alignedBytes(4))],
    ['a norm', 'WEIGHT_UNKNOWN', () => slots.replace('output_norm.weight', 'F32', alignedBytes(1024))],
    ['too few bytes', 'BUFFER_SIZE', () => slots.replace(name, 'Q4_K', alignedBytes(143))],
    [
      'bytes that start between',
      'WEIGHT_MISALIGNED',
      () => slots.replace(name, 'Q4_K', alignedBytes(144 * 256 + 1).subarray(1)),
    ],
    ['a type for products', 'TENSOR_TYPE', () => slots.replace(name, 'Q8_K', alignedBytes(1))],
    ['an unknown name to restore', 'WEIGHT_UNKNOWN', () => slots.restore('nothing')],
  ])('refuses %s: %s', (_what, code, act) => {
    expect(act).toThrow(expect.objectContaining({ name: 'BitsmithError', code }));
    expect(sameBits(logitsOf(context, batch), untouched)).toBe(true);
  });

  it('refuses changes while the model computes, and after it is gone', async () => {
    context.clearMemory();
    const work = context.decodeAsync(batch);
    expect(() => slots.restore(name)).toThrow(expect.objectContaining({ code: 'CONTEXT_BUSY' }));
    await work;
    const other = await LlamaModel.open(engine, path);
    const otherSlots = WeightSlots.discover(other);
    other.dispose();
    expect(() => otherSlots.restoreAll()).not.toThrow();
    expect(() => otherSlots.restore(name)).toThrow(expect.objectContaining({ code: 'ENGINE_DISPOSED' }));
    expect(() => WeightSlots.discover(other)).toThrow(expect.objectContaining({ code: 'ENGINE_DISPOSED' }));
  });
});
