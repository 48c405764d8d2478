import { decodeFloats, encodeFloats, type FloatDtype } from '@bitsmith/formats';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { weaveHeads } from '../../../src/model/huggingface/tensors/produce-tensor.js';
import { textTensorName } from '../../../src/model/huggingface/tensors/source-tensors.js';
import {
  convert,
  produced,
  safetensors,
  tinyConfig,
  tinyFiles,
  tinyTensors,
  values,
} from './support/memory-folder.js';

describe('weaveHeads', () => {
  test('rows that rotate together become neighbours, head by head', () => {
    const rows = Uint8Array.from([0, 1, 2, 3, 10, 11, 12, 13]);
    expect([...weaveHeads(rows, new Uint8Array(8), 1, 4)]).toEqual([0, 2, 1, 3, 10, 12, 11, 13]);
  });

  test('moves whole rows and keeps every one', () => {
    const shapes = fc.record({
      heads: fc.integer({ min: 1, max: 5 }),
      half: fc.integer({ min: 1, max: 6 }),
      width: fc.integer({ min: 1, max: 9 }),
    });
    fc.assert(
      fc.property(shapes, ({ heads, half, width }) => {
        const rows = Uint8Array.from({ length: heads * half * 2 * width }, (_, index) => index % 251);
        const woven = weaveHeads(rows, new Uint8Array(rows.length), width, 2 * half);
        for (let head = 0; head < heads; head += 1) {
          for (let pair = 0; pair < half; pair += 1) {
            const at = (array: Uint8Array, row: number): number[] => [
              ...array.subarray((head * 2 * half + row) * width).subarray(0, width),
            ];
            expect(at(woven, 2 * pair)).toEqual(at(rows, pair));
            expect(at(woven, 2 * pair + 1)).toEqual(at(rows, half + pair));
          }
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe('types', () => {
  const cases: [FloatDtype, string, FloatDtype][] = [
    ['F64', 'F16', 'F16'],
    ['F32', 'F16', 'F16'],
    ['F16', 'F16', 'F16'],
    ['BF16', 'BF16', 'BF16'],
    ['F8_E4M3', 'F16', 'F16'],
  ];
  test.each(cases)('matrices stored as %s become %s', async (dtype, expected, encoding) => {
    const model = await convert(
      await tinyFiles({ 'model.safetensors': await safetensors(tinyTensors(dtype)) }),
    );
    const type = (name: string): string | undefined =>
      model.tensors.find(({ spec }) => spec.name === name)?.spec.type;
    expect([type('token_embd.weight'), type('output_norm.weight')]).toEqual([expected, 'F32']);
    const source = decodeFloats(dtype, encodeFloats(dtype, values(260 * 8)));
    expect(await produced(model, 'token_embd.weight')).toEqual(encodeFloats(encoding, source));
    expect(decodeFloats('F32', await produced(model, 'output_norm.weight'))).toEqual(source.subarray(0, 8));
  });

  test('a wanted type holds for every matrix, and for none of the vectors', async () => {
    const { convertHuggingFace } = await import('../../../src/model/huggingface/index.js');
    const { MemoryFolder } = await import('./support/memory-folder.js');
    const model = await convertHuggingFace(new MemoryFolder('tiny', await tinyFiles()), {
      outputType: 'F32',
    });
    expect(new Set(model.tensors.map(({ spec }) => spec.type))).toEqual(new Set(['F32']));
    expect(model.metadata.get('general.file_type')).toEqual({ type: 'uint32', value: 0 });
  });
});

test('queries and keys are woven by their own heads, values are not', async () => {
  const model = await convert(await tinyFiles());
  const bytes = (count: number): Uint8Array => encodeFloats('BF16', values(count)).slice();
  const woven = (rows: number, headRows: number): Uint8Array =>
    weaveHeads(bytes(rows * 8), new Uint8Array(rows * 16), 16, headRows);
  expect(await produced(model, 'blk.0.attn_q.weight')).toEqual(woven(8, 4));
  expect(await produced(model, 'blk.0.attn_k.weight')).toEqual(woven(4, 4));
  expect(await produced(model, 'blk.0.attn_v.weight')).toEqual(bytes(32));
});

test('a tensor larger than a slab is streamed whole, in pieces of a few mebibytes', async () => {
  const rows = 400_000;
  const specs = tinyTensors().map((spec) => (spec.shape[0] === 260 ? { ...spec, shape: [rows, 8] } : spec));
  const files = await tinyFiles({
    'config.json': { ...tinyConfig, vocab_size: rows },
    'model.safetensors': await safetensors(specs),
  });
  const model = await convert(files);
  const pieces: number[] = [];
  let bytesWritten = 0;
  const tensor = model.tensors.find(({ spec }) => spec.name === 'token_embd.weight')!;
  const expected = encodeFloats('BF16', values(rows * 8));
  await tensor.produce({
    get bytesWritten() {
      return bytesWritten;
    },
    async write(bytes) {
      expect(Buffer.compare(bytes, expected.subarray(bytesWritten, bytesWritten + bytes.byteLength))).toBe(0);
      pieces.push(bytes.byteLength);
      bytesWritten += bytes.byteLength;
    },
  });
  expect(bytesWritten).toBe(rows * 16);
  expect(pieces.length).toBeGreaterThan(1);
  expect(Math.max(...pieces)).toBeLessThanOrEqual(4 * 1024 * 1024);
});

test('names of the text half', () => {
  expect(textTensorName('language_model.model.norm.weight')).toBe('model.norm.weight');
  expect(textTensorName('model.layers.3.mlp.up_proj.weight')).toBe('model.layers.3.mlp.up_proj.weight');
  for (const other of [
    'vision_tower.encoder.x',
    'multi_modal_projector.mm',
    'model.layers.0.self_attn.rotary_emb.inv_freq',
  ]) {
    expect(textTensorName(other)).toBe(undefined);
  }
});
