/** @file Damaged and hostile GGUF files: each gets its own code. */
import { describe, expect, it } from 'vitest';
import { MemorySource, readGguf, type ErrorKind } from '../../src/index.js';
import { Bytes } from '../support/bytes.js';
import { failure } from '../support/errors.js';
import { goldenBytes } from '../support/golden.js';

const types = { uint8: 0, uint32: 4, bool: 7, string: 8, array: 9 };

function head(tensors: number | bigint, keys: number | bigint, version = 3): Bytes {
  return new Bytes().text('GGUF').u32(version).u64(tensors).u64(keys);
}

/** A key that holds a uint32. */
function key(file: Bytes, name: string, value: number): Bytes {
  return file.string(name).u32(types.uint32).u32(value);
}

interface TensorFields {
  name?: string | Uint8Array;
  shape?: (number | bigint)[];
  type?: number;
  offset?: number | bigint;
}

function tensor(file: Bytes, { name = 'x', shape = [4], type = 0, offset = 0 }: TensorFields = {}): Bytes {
  file.string(name).u32(shape.length);
  for (const extent of shape) file.u64(extent);
  return file.u32(type).u64(offset);
}

function withData(file: Bytes, dataBytes: number): Bytes {
  return file.zeros((32 - (file.length % 32)) % 32).zeros(dataBytes);
}

const deepArray = (): Bytes => {
  const file = head(0, 1).string('k').u32(types.array);
  for (let depth = 0; depth < 12; depth++) file.u32(types.array).u64(1);
  return file.u32(types.uint8).u64(0);
};

const cases: [what: string, file: Bytes, code: string, message: RegExp, kind?: ErrorKind][] = [
  ['nothing', new Bytes(), 'GGUF_TRUNCATED', /expected 4 bytes for the magic number at offset 0, but only 0/],
  ['another format', new Bytes().text('PK..').zeros(40), 'GGUF_MAGIC', /does not start with "GGUF"/],
  ['a header cut off', new Bytes().text('GGUF').u32(3).u64(0), 'GGUF_TRUNCATED', /the file header/],
  ['version 1', head(0, 0, 1), 'GGUF_VERSION', /format version 1/, 'unsupported'],
  ['version 4', head(0, 0, 4), 'GGUF_VERSION', /format version 4/, 'unsupported'],
  ['version 0', head(0, 0, 0), 'GGUF_VERSION', /format version 0/, 'unsupported'],
  ['the other byte order', head(0, 0, 3 * 2 ** 24), 'GGUF_BIG_ENDIAN', /big-endian/, 'unsupported'],
  ['too many keys', head(0, 1000).zeros(100), 'GGUF_COUNT', /declares 1000 keys, but at most 7 are possible/],
  ['2^63 tensors', head(2n ** 63n, 0).zeros(100), 'GGUF_COUNT', /tensors, but at most 4/],
  ['an empty key', key(head(0, 1), '', 1).zeros(20), 'GGUF_KEY', /key 0 is empty/],
  [
    'a key that is not text',
    head(0, 1).string(Uint8Array.of(0xff)).u32(4).u32(0).zeros(9),
    'GGUF_KEY',
    /not valid UTF-8/,
  ],
  ['a key too long', head(0, 1).u64(65_536).zeros(70_000), 'GGUF_STRING_LENGTH', /key 0 is 65536 bytes/],
  ['a key past the end', head(0, 1).u64(500).zeros(20), 'GGUF_TRUNCATED', /expected 500 bytes for key 0/],
  ['a key twice', key(key(head(0, 2), 'k', 1), 'k', 1), 'GGUF_DUPLICATE_KEY', /key "k" appears twice/],
  [
    'an unknown value type',
    head(0, 1).string('k').u32(13).zeros(9),
    'GGUF_VALUE_TYPE',
    /"k" has the unknown value type 13/,
  ],
  ['an unknown item type', head(0, 1).string('k').u32(9).u32(77).u64(0), 'GGUF_VALUE_TYPE', /value type 77/],
  [
    'a value cut off',
    head(0, 1).string('key').u32(types.uint32).raw(1, 2),
    'GGUF_TRUNCATED',
    /expected 4 bytes for "key"/,
  ],
  ['a boolean of 2', head(0, 1).string('k').u32(types.bool).raw(2), 'GGUF_BOOL', /the boolean 2/],
  [
    'a boolean item of 3',
    head(0, 1).string('k').u32(9).u32(types.bool).u64(2).raw(1, 3),
    'GGUF_BOOL',
    /boolean 3/,
  ],
  [
    'a string past the end',
    head(0, 1).string('k').u32(types.string).u64(99),
    'GGUF_TRUNCATED',
    /expected 99 bytes for "k"/,
  ],
  [
    'a string too long',
    head(0, 1)
      .string('k')
      .u32(types.string)
      .u64(2n ** 40n),
    'GGUF_STRING_LENGTH',
    /"k" is 1099511627776/,
  ],
  [
    'an item too long',
    head(0, 1)
      .string('k')
      .u32(9)
      .u32(8)
      .u64(1)
      .u64(2n ** 60n),
    'GGUF_STRING_LENGTH',
    /item 0 of "k"/,
  ],
  [
    'too many items',
    head(0, 1).string('k').u32(9).u32(4).u64(5).zeros(16),
    'GGUF_COUNT',
    /declares 5 items of "k", but at most 4/,
  ],
  [
    '2^64-1 strings',
    head(0, 1)
      .string('k')
      .u32(9)
      .u32(8)
      .u64(2n ** 64n - 1n),
    'GGUF_COUNT',
    /at most 0/,
  ],
  [
    '2^61 numbers',
    head(0, 1)
      .string('k')
      .u32(9)
      .u32(12)
      .u64(2n ** 61n)
      .zeros(64),
    'GGUF_COUNT',
    /at most 8/,
  ],
  ['arrays too deep', deepArray(), 'GGUF_NESTING', /nests arrays deeper than 8/],
  [
    'an alignment of 24',
    key(head(0, 1), 'general.alignment', 24),
    'GGUF_ALIGNMENT',
    /general.alignment is 24/,
  ],
  ['an alignment of 0', key(head(0, 1), 'general.alignment', 0), 'GGUF_ALIGNMENT', /is 0/],
  ['an alignment of 2^31', key(head(0, 1), 'general.alignment', 2 ** 31), 'GGUF_ALIGNMENT', /2147483648/],
  [
    'an alignment in text',
    head(0, 1).string('general.alignment').u32(8).string('32'),
    'GGUF_ALIGNMENT',
    /of type string/,
  ],
  [
    'a tensor without a name',
    withData(tensor(head(1, 0), { name: '' }), 16),
    'GGUF_TENSOR_NAME',
    /tensor 0 is empty/,
  ],
  [
    'a tensor name that is not text',
    withData(tensor(head(1, 0), { name: Uint8Array.of(0xc0) }), 16),
    'GGUF_TENSOR_NAME',
    /UTF-8/,
  ],
  [
    'a tensor name too long',
    withData(tensor(head(1, 0), { name: 'n'.repeat(1025) }), 16),
    'GGUF_STRING_LENGTH',
    /1025 bytes/,
  ],
  [
    'a tensor twice',
    withData(tensor(tensor(head(2, 0)), { offset: 32 }), 48),
    'GGUF_DUPLICATE_TENSOR',
    /"x" appears twice/,
  ],
  [
    'five axes',
    withData(tensor(head(1, 0), { shape: [1, 1, 1, 1, 1] }), 16),
    'GGUF_TENSOR_SHAPE',
    /has 5 axes/,
  ],
  [
    'an axis of 2^63',
    withData(tensor(head(1, 0), { shape: [2n ** 63n] }), 16),
    'GGUF_TENSOR_SHAPE',
    /shape \[92/,
  ],
  [
    'axes that overflow',
    withData(tensor(head(1, 0), { shape: [2 ** 30, 2 ** 30] }), 16),
    'GGUF_TENSOR_SHAPE',
    /2\^53|shape/,
  ],
  [
    'a removed type',
    withData(tensor(head(1, 0), { type: 4 }), 16),
    'GGUF_TENSOR_TYPE',
    /unknown type 4/,
    'unsupported',
  ],
  [
    'a future type',
    withData(tensor(head(1, 0), { type: 99 }), 16),
    'GGUF_TENSOR_TYPE',
    /unknown type 99/,
    'unsupported',
  ],
  [
    'a row that is no whole block',
    withData(tensor(head(1, 0), { type: 12, shape: [128] }), 96),
    'GGUF_TENSOR_SHAPE',
    /Q4_K/,
  ],
  [
    'an unaligned tensor',
    withData(tensor(head(1, 0), { offset: 8 }), 64),
    'GGUF_TENSOR_OFFSET',
    /"x" starts at 8/,
  ],
  [
    'a tensor past the end',
    withData(tensor(head(1, 0), { shape: [5] }), 16),
    'GGUF_TENSOR_OUTSIDE',
    /"x" ends after the file/,
  ],
  [
    'a tensor far outside',
    withData(tensor(head(1, 0), { offset: 2n ** 63n }), 16),
    'GGUF_TENSOR_OUTSIDE',
    /"x" ends/,
  ],
  ['no data section', tensor(head(1, 0)), 'GGUF_TENSOR_OUTSIDE', /"x" ends/],
  ['a tensor table cut off', tensor(head(2, 0)).zeros(6), 'GGUF_COUNT', /declares 2 tensors/],
  [
    'tensors that share bytes',
    withData(tensor(tensor(head(2, 0), { name: 'a', shape: [9] }), { name: 'b', offset: 32 }), 64),
    'GGUF_TENSOR_OVERLAP',
    /"a" and "b" share bytes/,
  ],
];

describe('a damaged GGUF', () => {
  it.each(cases)('with %s gets a coded error', async (_what, file, code, message, kind = 'validation') => {
    const error = await failure(() => readGguf(new MemorySource(file.toBytes())));
    expect({ kind: error.kind, code: error.code }).toEqual({ kind, code });
    expect(error.message).toMatch(message);
    expect(error.suggestion).toBeTruthy();
  });

  it('is refused wherever it is cut', async () => {
    const bytes = goldenBytes('values.gguf');
    for (let length = 0; length < bytes.byteLength - 32; length++) {
      const error = await failure(() => readGguf(new MemorySource(bytes.subarray(0, length))));
      expect(error.code).toMatch(/^GGUF_(TRUNCATED|COUNT|TENSOR_OUTSIDE)$/);
    }
  });
});

describe('an unusual but sound GGUF', () => {
  it('may be version 2, have no tensors and end unpadded', async () => {
    const file = await readGguf(new MemorySource(key(head(0, 1, 2), 'k', 7).toBytes()));
    expect(file).toMatchObject({ version: 2, tensors: [], byteLength: 24 + 8 + 1 + 8 });
    expect([...file.metadata]).toEqual([['k', { type: 'uint32', value: 7 }]]);
  });

  it('may have tensors out of order, with gaps, without axes and without elements', async () => {
    const file = head(4, 0);
    tensor(file, { name: 'late', offset: 128 });
    tensor(file, { name: 'early', offset: 32 });
    tensor(file, { name: 'one', shape: [], offset: 64 });
    tensor(file, { name: 'none', shape: [0, 3], offset: 32 });
    const { tensors, dataOffset } = await readGguf(new MemorySource(withData(file, 160).toBytes()));
    expect(
      tensors.map(({ name, shape, offset, byteLength }) => [name, shape, offset - dataOffset, byteLength]),
    ).toEqual([
      ['late', [4], 128, 16],
      ['early', [4], 32, 16],
      ['one', [1], 64, 4],
      ['none', [0, 3], 32, 0],
    ]);
  });

  it('keeps strings that are not UTF-8 as bytes', async () => {
    const file = head(0, 1)
      .string('k')
      .u32(types.array)
      .u32(types.string)
      .u64(2)
      .string('ok')
      .string(Uint8Array.of(0xf0, 0x9f));
    const { metadata } = await readGguf(new MemorySource(file.toBytes()));
    expect(metadata.get('k')).toEqual({
      type: 'array',
      itemType: 'string',
      value: ['ok', Uint8Array.of(0xf0, 0x9f)],
    });
  });

  it('stops when it is told to', async () => {
    const reason = new Error('enough');
    const read = readGguf(new MemorySource(goldenBytes('values.gguf')), {
      signal: AbortSignal.abort(reason),
    });
    await expect(read).rejects.toBe(reason);
  });
});
