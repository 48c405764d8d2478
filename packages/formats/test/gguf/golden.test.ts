/** @file GGUF files that other programs wrote: read as their own readers read them, written back byte for byte. */
import { createHash } from 'node:crypto';
import { GGMLQuantizationType, gguf } from '@huggingface/gguf';
import { describe, expect, it } from 'vitest';
import {
  alignUp,
  getString,
  getStringArray,
  layoutGguf,
  layoutSplitGguf,
  MemorySink,
  readBytes,
  readGguf,
  readSplitGguf,
  writeGguf,
  type GgufMetadata,
} from '../../src/index.js';
import { goldenBytes, goldenJson, goldenSource } from '../support/golden.js';

interface Expected {
  alignment: number;
  dataOffset: number;
  keys: string[];
  tensors: {
    name: string;
    type: string;
    shape: number[];
    offset: number;
    byteLength: number;
    sha256: string;
  }[];
}

const parts = [1, 2].map((number) => `split-0000${number}-of-00002.gguf`);
const written = ['values.gguf', 'quantized.gguf', 'imatrix-dense.gguf', 'imatrix-experts.gguf', ...parts];

describe('a file by gguf-py', () => {
  it('has the keys and tensors that its own reader finds', async () => {
    const source = goldenSource('values.gguf');
    const file = await readGguf(source);
    const expected = goldenJson<Expected>('values.json');
    expect(file.alignment).toBe(expected.alignment);
    expect(file.dataOffset).toBe(expected.dataOffset);
    expect([...file.metadata.keys()]).toEqual(expected.keys);
    const found = [];
    for (const tensor of file.tensors) {
      const bytes = await readBytes(source, tensor.offset, tensor.byteLength);
      found.push({ ...tensor, sha256: createHash('sha256').update(bytes).digest('hex') });
    }
    expect(found).toEqual(expected.tensors);
  });

  it('has every value in its exact type', async () => {
    const { metadata } = await readGguf(goldenSource('values.gguf'));
    const { ['general.architecture']: architecture, ...values } = Object.fromEntries(metadata);
    expect(architecture).toEqual({ type: 'string', value: 'test' });
    expect(values).toEqual({
      't.uint8': { type: 'uint8', value: 255 },
      't.int8': { type: 'int8', value: -128 },
      't.uint16': { type: 'uint16', value: 65_535 },
      't.int16': { type: 'int16', value: -32_768 },
      't.uint32': { type: 'uint32', value: 4_294_967_295 },
      't.int32': { type: 'int32', value: -2_147_483_648 },
      't.float32': { type: 'float32', value: Math.fround(0.1) },
      't.uint64': { type: 'uint64', value: 2n ** 64n - 1n },
      't.int64': { type: 'int64', value: -(2n ** 63n) },
      't.float64': { type: 'float64', value: 0.1 },
      't.true': { type: 'bool', value: true },
      't.false': { type: 'bool', value: false },
      't.string': { type: 'string', value: 'naïve 日本 \ufeff𝄞' },
      't.strings': { type: 'array', itemType: 'string', value: ['a', '', 'ß', 'long '.repeat(50)] },
      't.ints': { type: 'array', itemType: 'int32', value: Int32Array.of(1, -2, 3) },
      't.floats': { type: 'array', itemType: 'float32', value: Float32Array.of(0.5, -1.25) },
      't.bools': { type: 'array', itemType: 'bool', value: [true, false, true] },
      't.nested': {
        type: 'array',
        itemType: 'array',
        value: [
          { type: 'array', itemType: 'int32', value: Int32Array.of(1, 2) },
          { type: 'array', itemType: 'int32', value: Int32Array.of(3) },
          { type: 'array', itemType: 'int32', value: Int32Array.of(4, 5, 6) },
        ],
      },
    });
  });
});

describe('files by ggml and gguf-py', () => {
  it.each(written)('%s is written back with the same bytes', async (name) => {
    const source = goldenSource(name);
    const file = await readGguf(source);
    const layout = layoutGguf(file);
    expect(layout.tensors).toEqual(file.tensors);
    expect(layout.byteLength).toBe(source.byteLength);
    const sink = new MemorySink();
    await writeGguf(sink, layout, async (tensor, _index, target) => {
      await target.write(await readBytes(source, tensor.offset, tensor.byteLength));
    });
    expect(Buffer.from(sink.toBytes()).equals(goldenBytes(name))).toBe(true);
  });

  it('hold what llama-quantize was asked for', async () => {
    const { metadata, tensors } = await readGguf(goldenSource('quantized.gguf'));
    expect(getString(metadata, 'general.architecture')).toBe('llama');
    expect(getStringArray(metadata, 'tokenizer.ggml.tokens')).toHaveLength(260);
    expect(tensors.find(({ name }) => name === 'blk.0.attn_q.weight')).toMatchObject({
      type: 'Q4_0',
      shape: [32, 32],
      byteLength: 576,
    });
  });

  it.each(written.filter((name) => name !== 'values.gguf'))(
    '%s reads as @huggingface/gguf reads it',
    async (name) => {
      const path = new URL(`../golden/${name}`, import.meta.url).pathname;
      const peer = await gguf(path, { allowLocalFile: true });
      const file = await readGguf(goldenSource(name));
      const { version, tensor_count: tensorCount, kv_count: keyCount, ...values } = peer.metadata;
      expect({ version, tensorCount: Number(tensorCount), keyCount: Number(keyCount) }).toEqual({
        version: file.version,
        tensorCount: file.tensors.length,
        keyCount: file.metadata.size,
      });
      expect(plainValues(file.metadata)).toEqual(values);
      expect(file.dataOffset).toBe(Number(peer.tensorDataOffset));
      expect(file.tensors.map(({ name, type, shape, offset }) => ({ name, type, shape, offset }))).toEqual(
        peer.tensorInfos.map((info) => ({
          name: info.name,
          type: GGMLQuantizationType[info.dtype],
          shape: info.shape.map(Number),
          offset: Number(peer.tensorDataOffset + info.offset),
        })),
      );
    },
  );
});

describe('a model split by gguf-split', () => {
  it('reads as the model before the split', async () => {
    const whole = goldenSource('quantized.gguf');
    const file = await readGguf(whole);
    const set = await readSplitGguf(parts[0], async (name) => goldenSource(name));
    expect([...set.metadata]).toEqual([...file.metadata]);
    expect(set.tensors.map(({ name }) => name)).toEqual(file.tensors.map(({ name }) => name));
    for (const [index, tensor] of set.tensors.entries()) {
      const { offset, byteLength } = file.tensors[index];
      expect(await readBytes(set.parts[tensor.part].source, tensor.offset, tensor.byteLength)).toEqual(
        await readBytes(whole, offset, byteLength),
      );
    }
  });

  it('has the same bytes when it is split here at the same place', async () => {
    const whole = goldenSource('quantized.gguf');
    const file = await readGguf(whole);
    const firstPartBytes = file.tensors
      .slice(0, 8)
      .reduce((sum, { byteLength }) => sum + alignUp(byteLength, 32), 0);
    const layouts = layoutSplitGguf('split', file, firstPartBytes);
    expect(layouts.map(({ name }) => name)).toEqual(parts);
    for (const { name, layout } of layouts) {
      const sink = new MemorySink();
      await writeGguf(sink, layout, async (tensor, _index, target) => {
        const { offset, byteLength } = file.tensors.find((original) => original.name === tensor.name)!;
        await target.write(await readBytes(whole, offset, byteLength));
      });
      expect(Buffer.from(sink.toBytes()).equals(goldenBytes(name))).toBe(true);
    }
  });
});

/** Metadata in the form that the peer gives: plain values and plain arrays. */
function plainValues(metadata: GgufMetadata): Record<string, unknown> {
  return Object.fromEntries(
    [...metadata].map(([key, entry]) => [
      key,
      entry.type === 'array' ? Array.from<unknown>(entry.value) : entry.value,
    ]),
  );
}
