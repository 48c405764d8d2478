import { layoutSplitGguf, MemorySink, MemorySource, readGguf, writeGguf } from '@bitsmith/formats';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FileType, fileRecipe, loadEngine, quantizeFile } from '../src/index.js';
import { importanceWeights } from './support/random.js';
import { loadTensors, matrixNames, temporaryFolder, writeTinyModel } from './support/tiny-model.js';

const engine = loadEngine({ threads: 1 });
const folder = temporaryFolder();
const source = folder.at('tiny.gguf');
let importance: Map<string, Float32Array>;

beforeAll(async () => {
  await writeTinyModel(source);
  await writeTinyModel(folder.at('experts.gguf'), { experts: 8 });
  const tensors = await loadTensors(source);
  importance = new Map(
    matrixNames.map((name, i) => [name, importanceWeights(tensors.get(name)?.rowLength ?? 0, i)]),
  );
});
afterAll(() => folder.remove());

/** Types of what llama.cpp's quantizer really writes. */
async function writtenTypes(
  model: string,
  fileType: FileType,
  weights: ReadonlyMap<string, Float32Array> | undefined,
): Promise<ReadonlyMap<string, string>> {
  const output = folder.at('out.gguf');
  await quantizeFile(engine, { source: model, output, fileType, importance: weights, threads: 1 });
  const { tensors } = await readGguf(new MemorySource(readFileSync(output)));
  return new Map(tensors.map(({ name, type }) => [name, type]));
}

// Their tables take seconds to build.
const slow: FileType[] =
  process.env.BITSMITH_SLOW_TESTS === '1'
    ? ['IQ1_S', 'IQ1_M', 'IQ2_XXS', 'IQ2_XS', 'IQ2_S', 'IQ2_M', 'IQ3_XXS', 'IQ3_XS']
    : [];
const quick: FileType[] = ['Q2_K', 'Q3_K_S', 'Q3_K_M', 'Q3_K_L', 'Q4_0', 'Q4_1', 'Q4_K_S', 'Q4_K_M'];
const others: FileType[] = ['Q5_0', 'Q5_1', 'Q5_K_S', 'Q5_K_M', 'Q6_K', 'Q8_0', 'IQ4_NL', 'IQ4_XS'];

describe('a recipe read from a dry run', () => {
  it.each([...quick, ...others, 'Q2_K_S' as const, ...slow])(
    'is what llama.cpp writes for %s with an importance matrix',
    async (fileType) => {
      const recipe = fileRecipe(engine, { source, fileType, importance: true });
      expect(recipe).toEqual(await writtenTypes(source, fileType, importance));
    },
  );

  it.each(['Q3_K_M', 'Q4_0', 'Q4_K_M', 'Q5_0', 'IQ4_XS'] as const)(
    'is what it writes for %s without one',
    async (fileType) => {
      const recipe = fileRecipe(engine, { source, fileType, importance: false });
      expect(recipe).toEqual(await writtenTypes(source, fileType, undefined));
    },
  );

  it('differs where llama.cpp asks whether there is a matrix', () => {
    const of = (given: boolean) => fileRecipe(engine, { source, fileType: 'IQ3_XXS', importance: given });
    expect(of(true).get('blk.0.attn_v.weight')).toBe('IQ3_XXS');
    expect(of(false).get('blk.0.attn_v.weight')).toBe('IQ3_S');
  });

  it('is what llama.cpp writes for a mixture of eight experts', async () => {
    const experts = folder.at('experts.gguf');
    for (const fileType of ['Q3_K_M', 'Q4_K_M'] as const) {
      const recipe = fileRecipe(engine, { source: experts, fileType, importance: false });
      expect(recipe).toEqual(await writtenTypes(experts, fileType, undefined));
      expect(recipe.get('blk.0.attn_k.weight')).toBe('Q8_0');
    }
  });

  it('reads a model in several files by its first', async () => {
    const { metadata, tensors } = await readGguf(new MemorySource(readFileSync(source)));
    const loaded = await loadTensors(source);
    const parts = layoutSplitGguf('split', { metadata, tensors }, 600_000);
    for (const { name, layout } of parts) {
      const sink = new MemorySink();
      await writeGguf(sink, layout, async (tensor, _index, out) => {
        await out.write(loaded.get(tensor.name)?.bytes ?? new Uint8Array());
      });
      writeFileSync(folder.at(name), sink.toBytes());
    }
    expect(parts.length).toBeGreaterThan(2);
    const of = (model: string) => fileRecipe(engine, { source: model, fileType: 'Q3_K_M', importance: true });
    expect(of(folder.at(parts[0].name))).toEqual(of(source));
  });

  it('says why it cannot be read', () => {
    const missing = folder.at('none.gguf');
    expect(() => fileRecipe(engine, { source: missing, fileType: 'Q4_K_M', importance: true })).toThrow(
      /expected llama\.cpp to say what Q4_K_M makes of .*none\.gguf, but it failed: /,
    );
    expect(() => fileRecipe(engine, { source, fileType: 'Q4_K_XXL' as FileType, importance: true })).toThrow(
      /a file type of llama\.cpp/,
    );
  });
});
