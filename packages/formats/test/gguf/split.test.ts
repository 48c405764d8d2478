import { describe, expect, it } from 'vitest';
import {
  ggufString,
  ggufUint16,
  layoutGguf,
  layoutSplitGguf,
  MemorySink,
  MemorySource,
  parseSplitName,
  readBytes,
  readSplitGguf,
  splitName,
  writeGguf,
  type ByteSource,
  type GgufLayout,
  type GgufTensorSpec,
  type GgufValue,
} from '../../src/index.js';
import { expectFailure } from '../support/errors.js';

const metadata = new Map<string, GgufValue>([['general.name', ggufString('split')]]);
const tensors = Array.from({ length: 5 }, (_, index): GgufTensorSpec => ({
  name: `t${index}`,
  type: 'F32',
  shape: [8 * (index + 1)],
}));

async function written(layout: GgufLayout): Promise<MemorySource> {
  const sink = new MemorySink();
  await writeGguf(sink, layout, (tensor, _index, target) =>
    target.write(new Uint8Array(tensor.byteLength).fill(Number(tensor.name.slice(1)))),
  );
  return new MemorySource(sink.toBytes());
}

async function writtenSet(prefix = 'dir/model'): Promise<Map<string, ByteSource>> {
  const files = new Map<string, ByteSource>();
  for (const { name, layout } of layoutSplitGguf(prefix, { metadata, tensors }, 200)) {
    files.set(name, await written(layout));
  }
  return files;
}

function opener(files: ReadonlyMap<string, ByteSource>): (name: string) => Promise<ByteSource> {
  return async (name) => {
    const source = files.get(name);
    if (source === undefined) throw new Error(`ENOENT: ${name}`);
    return source;
  };
}

describe('names of split files', () => {
  it('are taken apart and put together', () => {
    const parts = { prefix: 'some/dir/model-Q4', index: 1, count: 12 };
    expect(splitName('some/dir/model-Q4', 1, 12)).toBe('some/dir/model-Q4-00002-of-00012.gguf');
    expect(parseSplitName('some/dir/model-Q4-00002-of-00012.gguf')).toEqual(parts);
  });

  it.each([
    'model.gguf',
    'model-2-of-3.gguf',
    'model-00000-of-00003.gguf',
    'model-00004-of-00003.gguf',
    '-00001-of-00002.gguf',
    'm-00001-of-00002.gguf.part',
  ])('do not include %s', (name) => expect(parseSplitName(name)).toBeUndefined());
});

describe('a split model', () => {
  it('is laid out by size, in order, with the metadata in front', async () => {
    const files = await writtenSet();
    expect([...files.keys()]).toEqual([
      'dir/model-00001-of-00003.gguf',
      'dir/model-00002-of-00003.gguf',
      'dir/model-00003-of-00003.gguf',
    ]);
    const set = await readSplitGguf('dir/model-00001-of-00003.gguf', opener(files));
    expect(set.parts.map(({ file }) => file.tensors.map(({ name }) => name).join())).toEqual([
      't0,t1,t2',
      't3',
      't4',
    ]);
    expect(set.parts[0].file.metadata.has('general.name')).toBe(true);
    expect([...set.parts[1].file.metadata]).toEqual([
      ['split.no', { type: 'uint16', value: 1 }],
      ['split.tensors.count', { type: 'int32', value: 5 }],
      ['split.count', { type: 'uint16', value: 3 }],
    ]);
  });

  it('reads as one, from any of its files', async () => {
    const files = await writtenSet();
    for (const name of files.keys()) {
      const set = await readSplitGguf(name, opener(files));
      expect([...set.metadata]).toEqual([...metadata]);
      expect(set.tensors.map(({ name, shape }) => ({ name, shape }))).toEqual(
        tensors.map(({ name, shape }) => ({ name, shape })),
      );
      for (const [index, tensor] of set.tensors.entries()) {
        const data = await readBytes(set.parts[tensor.part].source, tensor.offset, tensor.byteLength);
        expect(data.every((byte) => byte === index)).toBe(true);
      }
    }
  });

  it('may be a single file of any name', async () => {
    const source = await written(layoutGguf({ metadata, tensors }));
    const set = await readSplitGguf('one.gguf', opener(new Map([['one.gguf', source]])));
    expect(set.tensors).toHaveLength(5);
    expect(set.parts).toHaveLength(1);
  });

  it('refuses impossible splits', async () => {
    const many = Array.from({ length: 65_536 }, (_, index): GgufTensorSpec => ({
      name: `t${index}`,
      type: 'F32',
      shape: [1],
    }));
    await expectFailure(
      () => layoutSplitGguf('m', { metadata, tensors: many }, 1),
      'validation',
      'GGUF_SPLIT_COUNT',
      /65536 files/,
    );
    await expectFailure(
      () => layoutSplitGguf('m', { metadata, tensors }, 0),
      'validation',
      'GGUF_SPLIT_COUNT',
    );
  });

  it('says which file is missing', async () => {
    const files = await writtenSet();
    files.delete('dir/model-00002-of-00003.gguf');
    await expectFailure(
      () => readSplitGguf('dir/model-00001-of-00003.gguf', opener(files)),
      'model-not-found',
      'GGUF_SPLIT_MISSING',
      /dir\/model-00002-of-00003\.gguf cannot be opened/,
    );
  });

  it.each<[string, Map<string, GgufValue>, GgufTensorSpec[], RegExp]>([
    [
      'another count',
      new Map([
        ['split.no', ggufUint16(1)],
        ['split.count', ggufUint16(2)],
      ]),
      [],
      /split\.count 3/,
    ],
    [
      'another number',
      new Map([
        ['split.no', ggufUint16(2)],
        ['split.count', ggufUint16(3)],
      ]),
      [],
      /split\.no 1/,
    ],
    ['no split keys', new Map(), [], /split\.count 3/],
    ['no number', new Map([['split.count', ggufUint16(3)]]), [], /split\.no 1/],
    [
      'a tensor of another part',
      new Map([
        ['split.no', ggufUint16(1)],
        ['split.count', ggufUint16(3)],
      ]),
      [tensors[0]],
      /"t0" in one file/,
    ],
    [
      'a tensor missing',
      new Map([
        ['split.no', ggufUint16(1)],
        ['split.count', ggufUint16(3)],
      ]),
      [],
      /5 tensors over all files/,
    ],
  ])('refuses a part with %s', async (_what, partMetadata, partTensors, message) => {
    const files = await writtenSet();
    files.set(
      'dir/model-00002-of-00003.gguf',
      await written(layoutGguf({ metadata: partMetadata, tensors: partTensors })),
    );
    await expectFailure(
      () => readSplitGguf('dir/model-00001-of-00003.gguf', opener(files)),
      'validation',
      'GGUF_SPLIT_INCONSISTENT',
      message,
    );
  });

  it('refuses one part of a set under a name of its own', async () => {
    const files = await writtenSet();
    const renamed = new Map([['alone.gguf', [...files.values()][0]]]);
    await expectFailure(
      () => readSplitGguf('alone.gguf', opener(renamed)),
      'validation',
      'GGUF_SPLIT_INCONSISTENT',
      /split\.count 1/,
    );
  });
});
