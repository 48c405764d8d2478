import path from 'node:path';
import { LlamaModel, loadEngine, quantizeFile, reckonMemory } from '@bitsmith/ggml';
import { readGguf, type TensorType } from '@bitsmith/formats';
import { beforeAll, describe, expect, it } from 'vitest';
import { FileSource } from '../../../src/io/file-source.js';
import { contextMemory } from '../../../src/plan/memory/context-memory.js';
import { keyValueTypes } from '../../../src/plan/memory/key-value-types.js';
import { temporaryFolder } from '../../support/temporary.js';
import { type TinyShape, tinyFamilies, writeTinyTransformer } from '../../support/tiny-transformer.js';

const engine = loadEngine({ threads: 2 });
const folder = await temporaryFolder();
const MEBIBYTE = 2 ** 20;
/** Half of the last digit that llama.cpp prints. */
const PRINTED = 0.0051 * MEBIBYTE;

const wide = { width: 64, heads: 4, keyValueHeads: 2, headSize: 32, feedForward: 128 };
const shapes = {
  llama: { ...tinyFamilies.llama, ...wide, blocks: 3 },
  'llama, one head of keys': { ...tinyFamilies['llama, tied, with frequencies of its own'], blocks: 5 },
  'mistral: heads wider than the model': tinyFamilies['mistral: heads wider than the model'],
  qwen2: tinyFamilies.qwen2,
  qwen3: tinyFamilies.qwen3,
  gemma3: tinyFamilies.gemma3,
  'gemma3 with a pattern of two': tinyFamilies['gemma3 with bent logits and a pattern of two'],
  phi3: tinyFamilies.phi3,
} as const satisfies Record<string, TinyShape>;
const names = Object.keys(shapes) as (keyof typeof shapes)[];

const fileOf = (name: string): string => path.join(folder, `${name.replaceAll(/\W+/g, '-')}.gguf`);

async function predict(file: string, contextTokens: number, keyValueType: TensorType = 'F16') {
  const source = await FileSource.open(file);
  try {
    const { metadata } = await readGguf(source);
    const reckoned = reckonMemory(engine, { path: file, contextTokens, keyValueType });
    return contextMemory(metadata, keyValueType, reckoned);
  } finally {
    await source.close();
  }
}

/** A context that really is made, and the sizes that llama.cpp says it took. */
async function allocate(file: string, contextTokens: number, type: number) {
  const model = await LlamaModel.open(engine, file);
  const { native, log } = engine;
  const { result: context, text } = log.read(() =>
    native.llama_init_from_model(model.address, {
      ...native.llama_context_default_params(),
      n_ctx: contextTokens,
      n_batch: 2048,
      n_ubatch: 512,
      n_seq_max: 1,
      swa_full: false,
      type_k: type,
      type_v: type,
      n_threads: 2,
      n_threads_batch: 2,
    }),
  );
  if (context !== null) native.llama_free(context);
  model.dispose();
  const sum = (name: string): number =>
    [...text.matchAll(new RegExp(`${name} buffer size = +([\\d.]+) MiB`, 'g'))].reduce(
      (total, [, size]) => total + Number(size) * MEBIBYTE,
      0,
    );
  const caches = [...text.matchAll(/KV buffer size/g)].length;
  return { kv: sum('KV'), compute: sum('compute'), output: sum('output'), caches };
}

beforeAll(async () => {
  for (const name of names) await writeTinyTransformer(fileOf(name), shapes[name]);
});

describe('what a context takes is what llama.cpp allocates', () => {
  it.each(names.flatMap((name) => [1, 1000, 30_000].map((tokens) => [name, tokens] as const)))(
    '%s, %i tokens',
    async (name, tokens) => {
      const file = fileOf(name);
      const predicted = await predict(file, tokens);
      const taken = await allocate(file, tokens, 1);
      expect(taken.kv).toBeGreaterThan(0);
      expect(Math.abs(predicted.cacheBytes - taken.kv)).toBeLessThan(PRINTED * taken.caches);
      expect(predicted.computeBytes - taken.compute).toBeGreaterThanOrEqual(0);
      expect(predicted.computeBytes - taken.compute).toBeLessThan(2 * PRINTED);
      expect(predicted.outputBytes).toBeGreaterThanOrEqual(shapes[name].vocabulary * 4);
      expect(Math.abs(predicted.outputBytes - taken.output)).toBeLessThan(2 * PRINTED);
    },
  );

  it.each(names)('%s: keys and values to the byte, from heads, lengths, layers and windows', async (name) => {
    const { architecture, blocks, keyValueHeads, headSize } = shapes[name];
    const tokens = 8192;
    const cell = 2 * 2 * keyValueHeads * headSize;
    // Gemma 3: every sixth block (of a pattern of two, every second) sees everything; the window is padded with a batch of 512.
    const pattern = name === 'gemma3' ? 6 : 2;
    const global = architecture === 'gemma3' ? Math.floor(blocks / pattern) : blocks;
    const windowCells = Math.ceil((4 + 512) / 256) * 256;
    const expected = cell * (global * tokens + (blocks - global) * windowCells);
    expect((await predict(fileOf(name), tokens)).cacheBytes).toBe(expected);
  });

  it.each(['F32', 'BF16', 'Q8_0', 'Q5_1', 'Q5_0', 'Q4_1', 'Q4_0', 'IQ4_NL'] as const)(
    'keys and values in %s',
    async (type) => {
      const { ggmlTypes } = await import('../../../../ggml/src/binding/layout.js');
      const predicted = await predict(fileOf('llama'), 4096, type);
      const taken = await allocate(fileOf('llama'), 4096, ggmlTypes[type]);
      expect(Math.abs(predicted.cacheBytes - taken.kv)).toBeLessThan(PRINTED);
      expect(keyValueTypes).toContain(type);
    },
  );

  it('rounds the context up as the engine does', async () => {
    expect((await predict(fileOf('llama'), 1)).contextTokens).toBe(256);
    expect((await predict(fileOf('llama'), 1000)).contextTokens).toBe(1024);
  });

  it('computes in the same buffers whatever the weights are stored in', async () => {
    const source = fileOf('llama');
    const output = path.join(folder, 'quantized.gguf');
    await quantizeFile(engine, { source, output, fileType: 'Q8_0', threads: 2 });
    const predicted = await predict(source, 2048);
    const taken = await allocate(output, 2048, 1);
    expect(Math.abs(predicted.computeBytes - taken.compute)).toBeLessThan(2 * PRINTED);
  });

  it('takes no memory of its own for a context of millions of tokens', async () => {
    const before = process.memoryUsage().rss;
    const { cacheBytes } = await predict(fileOf('llama'), 4_000_000);
    expect(cacheBytes).toBeGreaterThan(3e9);
    expect(process.memoryUsage().rss - before).toBeLessThan(cacheBytes / 4);
  });

  it('says what the engine cannot make: blocks of 32 in heads of 8', async () => {
    const file = fileOf('qwen2');
    await expect(predict(file, 512, 'Q8_0')).rejects.toMatchObject({
      kind: 'unsupported',
      code: 'MEMORY_UNKNOWN',
    });
  });
});
