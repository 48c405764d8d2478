import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { MemorySource, readGguf, type TensorType } from '@bitsmith/formats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodedByteLength, encodeRows, loadEngine, quantizeFile, requiresImportance } from '../src/index.js';
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
const source = folder.at('tiny.gguf');
let tensors: Map<string, LoadedTensor>;
let importance: Map<string, Float32Array>;

beforeAll(async () => {
  await writeTinyModel(source);
  tensors = await loadTensors(source);
  importance = new Map(
    matrixNames.map((name, i) => [name, importanceWeights(tensors.get(name)?.rowLength ?? 0, i)]),
  );
});
afterAll(() => folder.remove());

/** The i-quants whose tables take seconds to build. */
const slow: TensorType[] =
  process.env.BITSMITH_SLOW_TESTS === '1' ? ['IQ1_S', 'IQ1_M', 'IQ2_S', 'IQ2_XS'] : [];
const types: TensorType[] = [
  'Q2_K',
  'Q3_K',
  'Q4_K',
  'Q5_K',
  'Q6_K',
  'Q8_0',
  'IQ3_S',
  'IQ2_XXS',
  'IQ4_XS',
  'Q4_0',
  'Q5_1',
  ...slow,
];
/** Types that llama.cpp's quantizer refuses for blocks without importance. */
const peerNeedsImportance: ReadonlySet<TensorType> = new Set(['IQ1_M', 'IQ2_S']);

describe('encodeRows against quantizeFile', () => {
  it.each(types.flatMap((type) => [true, false].map((weighted) => ({ type, weighted }))))(
    'gives the same bytes: $type, importance $weighted',
    async ({ type, weighted }) => {
      if (!weighted && (requiresImportance(type) || peerNeedsImportance.has(type))) return;
      const output = folder.at('out.gguf');
      await quantizeFile(engine, {
        source,
        output,
        fileType: 'Q8_0',
        tensorTypes: [{ pattern: 'weight', type }],
        tokenEmbeddingType: type,
        outputTensorType: type,
        importance: weighted ? importance : undefined,
      });
      const written = await loadTensors(output);
      for (const name of matrixNames) {
        const { rows, rowLength, bytes } = tensors.get(name) as LoadedTensor;
        const ours = new Uint8Array(encodedByteLength(type, rows, rowLength));
        const values = new Float32Array(bytes.slice().buffer);
        await encodeRows(
          engine,
          { type, values, rows, rowLength, importance: weighted ? importance.get(name) : undefined },
          ours,
          { lanes: 2 },
        );
        expect(written.get(name)?.type).toBe(type);
        expect(Buffer.compare(ours, written.get(name)?.bytes ?? new Uint8Array(0)), name).toBe(0);
      }
    },
  );
});

describe('quantizeFile', () => {
  it('follows a mix, patterns and keys', async () => {
    const output = folder.at('mix.gguf');
    await quantizeFile(engine, {
      source,
      output,
      fileType: 'Q4_K_M',
      tensorTypes: [{ pattern: 'blk\\.1\\.ffn_(up|gate)', type: 'Q3_K' }],
      metadata: new Map<string, string | number | bigint | boolean>([
        ['test.text', 'words'],
        ['test.count', 12n],
        ['test.ratio', 0.5],
        ['test.flag', true],
      ]),
    });
    const written = await loadTensors(output);
    expect(written.get('blk.1.ffn_up.weight')?.type).toBe('Q3_K');
    expect(written.get('blk.0.ffn_up.weight')?.type).toBe('Q4_K');
    expect(written.get('output.weight')?.type).toBe('Q6_K');
    const { metadata } = await readGguf(new MemorySource(readFileSync(output)));
    expect(metadata.get('test.text')?.value).toBe('words');
    expect(Number(metadata.get('test.count')?.value)).toBe(12);
    expect(metadata.get('test.ratio')?.value).toBe(0.5);
    expect(metadata.get('test.flag')?.value).toBe(true);
    expect(metadata.get('general.file_type')?.value).toBe(15);
  });

  it('lets JavaScript run meanwhile', async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    await quantizeFile(engine, { source, output: folder.at('slow.gguf'), fileType: 'Q5_K_M', importance });
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(2);
  });

  it('writes nothing in a dry run', async () => {
    await quantizeFile(engine, { source, fileType: 'Q4_K_M', dryRun: true });
    expect(existsSync(folder.at('.gguf'))).toBe(false);
  });

  it.each<[string, string, () => Promise<void>]>([
    [
      'the source as output',
      'OUTPUT_IS_SOURCE',
      () => quantizeFile(engine, { source, output: source, fileType: 'Q8_0' }),
    ],
    ['no output', 'ENGINE_ARGUMENT', () => quantizeFile(engine, { source, fileType: 'Q8_0' })],
    [
      'an unknown file type',
      'TENSOR_TYPE',
      () => quantizeFile(engine, { source, output: folder.at('x'), fileType: 'Q9_K' as 'Q8_0' }),
    ],
    [
      'a low type without importance',
      'QUANTIZE_FAILED',
      () => quantizeFile(engine, { source, output: folder.at('x'), fileType: 'IQ2_XXS' }),
    ],
    [
      'an embedding that needs importance',
      'IMPORTANCE_REQUIRED',
      () =>
        quantizeFile(engine, {
          source,
          output: folder.at('x'),
          fileType: 'Q8_0',
          tokenEmbeddingType: 'IQ2_XS',
        }),
    ],
    [
      'a head that needs importance by pattern',
      'IMPORTANCE_REQUIRED',
      () =>
        quantizeFile(engine, {
          source,
          output: folder.at('x'),
          fileType: 'Q8_0',
          tensorTypes: [{ pattern: 'output', type: 'IQ1_S' }],
        }),
    ],
    [
      'negative importance',
      'IMPORTANCE_INVALID',
      () =>
        quantizeFile(engine, {
          source,
          output: folder.at('x'),
          fileType: 'IQ3_S',
          importance: new Map([['output.weight', Float32Array.of(1, -1)]]),
        }),
    ],
    [
      'importance of another model',
      'QUANTIZE_FAILED',
      () =>
        quantizeFile(engine, {
          source,
          output: folder.at('x'),
          fileType: 'Q4_K_M',
          importance: new Map([['blk.0.attn_q.weight', new Float32Array(100).fill(1)]]),
        }),
    ],
    [
      'a broken pattern',
      'TENSOR_PATTERN',
      () =>
        quantizeFile(engine, {
          source,
          output: folder.at('x'),
          fileType: 'Q8_0',
          tensorTypes: [{ pattern: '(', type: 'Q8_0' }],
        }),
    ],
    [
      'another kind of file',
      'QUANTIZE_FAILED',
      () =>
        quantizeFile(engine, {
          source: new URL(import.meta.url).pathname,
          output: folder.at('x'),
          fileType: 'Q8_0',
        }),
    ],
  ])('refuses %s: %s', async (_what, code, act) => {
    await expect(act()).rejects.toMatchObject({ name: 'BitsmithError', code });
  });

  it.skipIf(process.platform === 'win32')(
    'refuses a link to its source, and says that the disk is full',
    async () => {
      symlinkSync(source, folder.at('link.gguf'));
      await expect(
        quantizeFile(engine, { source, output: folder.at('link.gguf'), fileType: 'Q8_0' }),
      ).rejects.toMatchObject({
        code: 'OUTPUT_IS_SOURCE',
      });
      if (!existsSync('/dev/full')) return;
      await expect(quantizeFile(engine, { source, output: '/dev/full', fileType: 'Q8_0' })).rejects.toThrow(
        'it stopped while it wrote /dev/full',
      );
    },
  );
});
