import { describe, expect, it } from 'vitest';
import {
  ggufBool,
  ggufFloat32,
  ggufInt32,
  ggufString,
  ggufUint16,
  ggufUint32,
  layoutGguf,
  MemorySink,
  writeGguf,
  type GgufTensorSpec,
  type GgufValue,
} from '../../src/index.js';
import { expectFailure } from '../support/errors.js';

const none = new Map<string, GgufValue>();
const row: GgufTensorSpec = { name: 'x', type: 'F32', shape: [4] };

function layoutValue(value: GgufValue): () => unknown {
  return () => layoutGguf({ metadata: new Map([['k', value]]), tensors: [] });
}

function layoutTensors(...tensors: GgufTensorSpec[]): () => unknown {
  return () => layoutGguf({ metadata: none, tensors });
}

describe('layoutGguf', () => {
  it('takes the alignment from the metadata, or adds it there', () => {
    const stored = new Map([['general.alignment', ggufUint32(64)]]);
    expect(layoutGguf({ metadata: stored, tensors: [row] })).toMatchObject({
      alignment: 64,
      byteLength: 192,
    });
    const added = layoutGguf({ metadata: none, tensors: [row], alignment: 64 });
    expect(added.header).toEqual(layoutGguf({ metadata: stored, tensors: [row] }).header);
    const back = layoutGguf({ metadata: stored, tensors: [row], alignment: 32 });
    expect(back.alignment).toBe(32);
  });

  it.each<[string, () => unknown, string]>([
    ['a number out of range', layoutValue(ggufUint16(65_536)), 'GGUF_VALUE'],
    ['a negative unsigned number', layoutValue(ggufUint32(-1)), 'GGUF_VALUE'],
    ['a fraction as an integer', layoutValue(ggufInt32(0.5)), 'GGUF_VALUE'],
    ['an int64 too large', layoutValue({ type: 'int64', value: 2n ** 63n }), 'GGUF_VALUE'],
    ['a negative uint64', layoutValue({ type: 'uint64', value: -1n }), 'GGUF_VALUE'],
    [
      'items of another type',
      layoutValue({ type: 'array', itemType: 'int32', value: Float32Array.of(1) }),
      'GGUF_VALUE',
    ],
    ['a lone surrogate', layoutValue(ggufString('\ud800')), 'TEXT_NOT_UNICODE'],
    ['a lone surrogate in a name', layoutTensors({ ...row, name: '\udfff' }), 'TEXT_NOT_UNICODE'],
    [
      'an empty key',
      () => layoutGguf({ metadata: new Map([['', ggufBool(true)]]), tensors: [] }),
      'GGUF_KEY',
    ],
    [
      'a key too long',
      () => layoutGguf({ metadata: new Map([['k'.repeat(65_536), ggufBool(true)]]), tensors: [] }),
      'GGUF_KEY',
    ],
    [
      'an alignment of 48',
      () => layoutGguf({ metadata: none, tensors: [], alignment: 48 }),
      'GGUF_ALIGNMENT',
    ],
    [
      'an alignment that is no number',
      () => layoutGguf({ metadata: new Map([['general.alignment', ggufString('32')]]), tensors: [] }),
      'GGUF_ALIGNMENT',
    ],
    ['a tensor twice', layoutTensors(row, row), 'GGUF_DUPLICATE_TENSOR'],
    ['a name of 64 bytes', layoutTensors({ ...row, name: 'ä'.repeat(32) }), 'GGUF_TENSOR_NAME'],
    ['no name', layoutTensors({ ...row, name: '' }), 'GGUF_TENSOR_NAME'],
    ['an empty tensor', layoutTensors({ ...row, shape: [4, 0] }), 'GGUF_TENSOR_SHAPE'],
    ['five axes', layoutTensors({ ...row, shape: [1, 2, 3, 4, 5] }), 'GGUF_TENSOR_SHAPE'],
    [
      'a row that is no whole block',
      layoutTensors({ name: 'x', type: 'Q4_K', shape: [128] }),
      'TENSOR_SHAPE',
    ],
  ])('refuses %s', async (_what, step, code) => {
    await expectFailure(step, 'validation', code);
  });

  it('rounds float32 values where they are made', () => {
    expect(ggufFloat32(0.1).value).toBe(Math.fround(0.1));
  });
});

describe('writeGguf', () => {
  const layout = layoutGguf({ metadata: none, tensors: [row, { ...row, name: 'y' }] });

  it.each([
    ['too few', 15],
    ['too many', 17],
  ])('refuses %s bytes of a tensor', async (_what, count) => {
    const sink = new MemorySink();
    await expectFailure(
      () => writeGguf(sink, layout, (_tensor, _index, target) => target.write(new Uint8Array(count))),
      'validation',
      'GGUF_TENSOR_BYTES',
      new RegExp(`"x" got ${count} bytes`),
    );
    expect(sink.bytesWritten).toBeLessThanOrEqual(layout.header.byteLength + 16);
  });

  it('stops between tensors when it is told to', async () => {
    const controller = new AbortController();
    const written: string[] = [];
    const write = writeGguf(
      new MemorySink(),
      layout,
      async (tensor, _index, target) => {
        written.push(tensor.name);
        await target.write(new Uint8Array(16));
        controller.abort(new Error('enough'));
      },
      { signal: controller.signal },
    );
    await expect(write).rejects.toThrow('enough');
    expect(written).toEqual(['x']);
  });
});
