import { describe, expect, it } from 'vitest';
import {
  layoutSafetensors,
  MemorySink,
  MemorySource,
  parseShardIndex,
  readShardedSafetensors,
  readShardIndex,
  writeSafetensors,
  type ByteSource,
} from '../../src/index.js';
import { expectFailure } from '../support/errors.js';

async function shard(...names: string[]): Promise<ByteSource> {
  const sink = new MemorySink();
  const layout = layoutSafetensors({ tensors: names.map((name) => ({ name, dtype: 'U8', shape: [2] })) });
  await writeSafetensors(sink, layout, (_tensor, _index, target) => target.write(Uint8Array.of(1, 2)));
  return new MemorySource(sink.toBytes());
}

function indexText(weightMap: Record<string, unknown>): string {
  return JSON.stringify({ metadata: { total_size: 6 }, weight_map: weightMap });
}

const one = 'model-00001-of-00002.safetensors';
const two = 'model-00002-of-00002.safetensors';

function opener(files: Record<string, ByteSource>): (name: string) => Promise<ByteSource> {
  return async (name) => {
    if (!Object.hasOwn(files, name)) throw new Error(`ENOENT: ${name}`);
    return files[name];
  };
}

describe('a shard index', () => {
  it('resolves tensors to files, also from bytes', async () => {
    const text = indexText({ b: two, a: one, c: two });
    const index = parseShardIndex(text);
    expect(index.files).toEqual([one, two]);
    expect([...index.weightMap]).toEqual([
      ['b', two],
      ['a', one],
      ['c', two],
    ]);
    expect(await readShardIndex(new MemorySource(new TextEncoder().encode(text)))).toEqual(index);

    const set = await readShardedSafetensors(
      index,
      opener({ [one]: await shard('a'), [two]: await shard('b', 'c', 'd') }),
    );
    expect(set.tensors.map(({ name, shard: part }) => [name, set.shards[part].name])).toEqual([
      ['a', one],
      ['b', two],
      ['c', two],
    ]);
    expect(set.unlisted).toEqual(['d']);
  });

  it.each([
    '../model.safetensors',
    '/etc/model.safetensors',
    'sub/model.safetensors',
    'sub\\model.safetensors',
    'C:model.safetensors',
    'C:\\model.safetensors',
    '..',
    '.hidden.safetensors',
    'model.safetensors:stream.safetensors',
    'model\u0000.safetensors',
    'model.bin',
    '',
    `${'n'.repeat(300)}.safetensors`,
  ])('refuses the file name %j', async (name) => {
    await expectFailure(() => parseShardIndex(indexText({ a: name })), 'validation', 'SHARD_NAME');
  });

  it.each([
    ['broken JSON', '{'],
    ['no object', '[]'],
    ['no weight map', '{"metadata":{}}'],
    ['a list as weight map', '{"weight_map":[]}'],
    ['an empty weight map', '{"weight_map":{}}'],
    ['a number as file name', '{"weight_map":{"a":1}}'],
    ['a tensor twice', `{"weight_map":{"a":"${one}","a":"${two}"}}`],
  ])('refuses %s', async (_what, text) => {
    await expectFailure(() => parseShardIndex(text), 'validation', 'SHARD_INDEX');
  });

  it('refuses bytes that are not text', async () => {
    await expectFailure(
      () => readShardIndex(new MemorySource(Uint8Array.of(0xff))),
      'validation',
      'SHARD_INDEX',
      /UTF-8/,
    );
  });

  it('says which file and which tensor is missing', async () => {
    const index = parseShardIndex(indexText({ a: one, b: two }));
    await expectFailure(
      async () => readShardedSafetensors(index, opener({ [one]: await shard('a') })),
      'model-not-found',
      'SHARD_MISSING',
      /model-00002-of-00002/,
    );
    const wrong = opener({ [one]: await shard('a', 'b'), [two]: await shard('c') });
    await expectFailure(
      () => readShardedSafetensors(index, wrong),
      'validation',
      'SHARD_TENSOR_MISSING',
      /model-00002-of-00002\.safetensors does not hold "b"/,
    );
  });

  it('stops when it is told to', async () => {
    const controller = new AbortController();
    const index = parseShardIndex(indexText({ a: one }));
    const open = async (): Promise<ByteSource> => {
      controller.abort(new Error('enough'));
      throw new Error('aborted read');
    };
    await expect(readShardedSafetensors(index, open, { signal: controller.signal })).rejects.toThrow(
      'enough',
    );
  });
});
