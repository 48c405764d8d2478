import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeFloats,
  layoutSafetensors,
  MemorySink,
  MemorySource,
  readBytes,
  readSafetensors,
  safetensorsDtypeNames,
  safetensorsDtypes,
  writeSafetensors,
  type SafetensorsTensorSpec,
} from '../../src/index.js';
import { expectFailure, failure } from '../support/errors.js';
import { goldenBytes, goldenSource } from '../support/golden.js';
import { SparseSource } from '../support/sparse-source.js';

describe('a file by the reference writer', () => {
  it('holds every element type and its values', async () => {
    const source = goldenSource('dtypes.safetensors');
    const file = await readSafetensors(source);
    expect([...file.metadata]).toEqual([['format', 'pt']]);
    expect(new Set(file.tensors.map(({ dtype }) => dtype))).toEqual(new Set(safetensorsDtypeNames));
    const find = (name: string) => file.tensors.find((tensor) => tensor.name === name)!;
    expect(find('a.scalar')).toMatchObject({ dtype: 'F32', shape: [], byteLength: 4 });
    expect(find('a.empty')).toMatchObject({ dtype: 'I16', shape: [0, 4], byteLength: 0 });
    expect(find('é"\\').shape).toEqual([2, 3]);
    for (const [dtype, expected] of [
      ['F64', [0, 1.5, 100, 2 ** -9, Math.fround(1e-3), 100]],
      ['BF16', [0, 1.5, 100, 2 ** -9, 0.00099945068359375, 100]],
      ['F8_E4M3', [0, 1.5, 96, 2 ** -9, 2 ** -9, 96]],
      ['F8_E5M2', [0, 1.5, 96, 2 ** -9, 0.0009765625, 96]],
    ] as const) {
      const { offset, byteLength } = find(`b.${dtype.toLowerCase()}`);
      expect([...decodeFloats(dtype, await readBytes(source, offset, byteLength))]).toEqual(expected);
    }
  });

  it('is written back with the same bytes', async () => {
    const source = goldenSource('dtypes.safetensors');
    const file = await readSafetensors(source);
    const layout = layoutSafetensors({ metadata: file.metadata, tensors: file.tensors.toReversed() });
    expect(layout.tensors).toEqual(file.tensors);
    const sink = new MemorySink();
    await writeSafetensors(sink, layout, async ({ offset, byteLength }, _index, target) =>
      target.write(await readBytes(source, offset, byteLength)),
    );
    expect(Buffer.from(sink.toBytes()).equals(goldenBytes('dtypes.safetensors'))).toBe(true);
  });
});

const spec: fc.Arbitrary<SafetensorsTensorSpec> = fc.record({
  name: fc.string({ unit: 'grapheme', maxLength: 20 }).filter((name) => name !== '__metadata__'),
  dtype: fc.constantFrom(...safetensorsDtypeNames),
  shape: fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }),
});

describe('safetensors, written and read back', () => {
  it('are the same for any metadata and tensors', async () => {
    const text = fc.string({ unit: 'binary', maxLength: 15 });
    const specs = fc.uniqueArray(spec, { selector: ({ name }) => name, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(fc.dictionary(text, text), specs, async (metadata, tensors) => {
        const layout = layoutSafetensors({ metadata: new Map(Object.entries(metadata)), tensors });
        expect(layout.header.byteLength % 8).toBe(0);
        const sink = new MemorySink();
        await writeSafetensors(sink, layout, (tensor, index, target) =>
          target.write(new Uint8Array(tensor.byteLength).fill(index + 1)),
        );
        expect(sink.bytesWritten).toBe(layout.byteLength);
        const source = new MemorySource(sink.toBytes());
        const file = await readSafetensors(source);
        expect(Object.fromEntries(file.metadata)).toEqual(metadata);
        expect(file.tensors.map(({ name }) => name).sort()).toEqual(tensors.map(({ name }) => name).sort());
        const found = new Map(file.tensors.map((tensor) => [tensor.name, tensor]));
        for (const [index, tensor] of layout.tensors.entries()) {
          expect(found.get(tensor.name)).toEqual(tensor);
          const data = await readBytes(source, tensor.offset, tensor.byteLength);
          expect(data.every((byte) => byte === index + 1)).toBe(true);
        }
      }),
      { numRuns: 300, seed: 2 },
    );
  });

  it('keep exact offsets over 4 GiB', async () => {
    const layout = layoutSafetensors({
      tensors: [
        { name: 'large', dtype: 'F32', shape: [65_536, 65_536] },
        { name: 'small', dtype: 'BF16', shape: [3] },
      ],
    });
    const marker = Uint8Array.of(1, 2, 3, 4, 5, 6);
    const { offset } = layout.tensors[1];
    expect(offset).toBe(layout.header.byteLength + 2 ** 34);
    const source = new SparseSource(layout.byteLength, [
      { offset: 0, bytes: layout.header },
      { offset, bytes: marker },
    ]);
    const file = await readSafetensors(source);
    expect(file.tensors).toEqual(layout.tensors);
    expect(await readBytes(source, file.tensors[1].offset, 6)).toEqual(marker);
  });
});

/** A file of a header in text and zeroed data. */
function fileOf(header: string | Uint8Array, dataBytes = 0, declared?: bigint): MemorySource {
  const json = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + json.byteLength + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, declared ?? BigInt(json.byteLength), true);
  bytes.set(json, 8);
  return new MemorySource(bytes);
}

function entry(begin: number, end: number, rest = '"dtype":"F32","shape":[1]'): string {
  return `{${rest},"data_offsets":[${begin},${end}]}`;
}

describe('damaged safetensors', () => {
  it.each<[string, MemorySource, string, RegExp]>([
    ['nothing', new MemorySource(new Uint8Array(7)), 'SAFETENSORS_TRUNCATED', /only 7 bytes/],
    ['a header of 2^63 bytes', fileOf('{}', 0, 2n ** 63n), 'SAFETENSORS_HEADER_SIZE', /declares 92233/],
    ['a header just too large', fileOf('{}', 0, 100_000_001n), 'SAFETENSORS_HEADER_SIZE', /100000001/],
    ['a header past the end', fileOf('{}', 0, 3n), 'SAFETENSORS_TRUNCATED', /declares 3 bytes/],
    [
      'a header that is not text',
      fileOf(Uint8Array.of(0x7b, 0xff, 0x7d)),
      'SAFETENSORS_HEADER',
      /not valid UTF-8/,
    ],
    ['a header that is not an object', fileOf('[1]'), 'SAFETENSORS_HEADER', /does not start with/],
    ['an empty header', fileOf(''), 'SAFETENSORS_HEADER', /does not start with/],
    ['broken JSON', fileOf('{"a":'), 'SAFETENSORS_HEADER', /not valid/],
    [
      'a name twice',
      fileOf(`{"a":${entry(0, 4)},"\\u0061":${entry(4, 8)}}`, 8),
      'SAFETENSORS_HEADER',
      /key "a" appears twice/,
    ],
    [
      'a field twice',
      fileOf('{"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}', 4),
      'SAFETENSORS_HEADER',
      /"dtype" appears twice/,
    ],
    [
      'metadata that is no object',
      fileOf('{"__metadata__":[]}'),
      'SAFETENSORS_METADATA',
      /object of strings/,
    ],
    [
      'metadata that is no text',
      fileOf('{"__metadata__":{"a":1}}'),
      'SAFETENSORS_METADATA',
      /object of strings/,
    ],
    ['a tensor that is a number', fileOf('{"a":3}'), 'SAFETENSORS_TENSOR', /entry of "a"/],
    [
      'an unknown field',
      fileOf(`{"a":${entry(0, 4, '"x":1,"dtype":"F32","shape":[1]')}}`, 4),
      'SAFETENSORS_TENSOR',
      /entry of "a"/,
    ],
    [
      'no shape',
      fileOf(`{"a":${entry(0, 4, '"dtype":"F32"')}}`, 4),
      'SAFETENSORS_TENSOR',
      /shape of "a" is nothing/,
    ],
    [
      'a negative axis',
      fileOf(`{"a":${entry(0, 4, '"dtype":"F32","shape":[-1]')}}`, 4),
      'SAFETENSORS_TENSOR',
      /shape of "a" is \[-1\]/,
    ],
    [
      'a fraction as an axis',
      fileOf(`{"a":${entry(0, 4, '"dtype":"F32","shape":[0.5]')}}`, 4),
      'SAFETENSORS_TENSOR',
      /\[0\.5\]/,
    ],
    [
      'an axis above 2^53',
      fileOf(`{"a":${entry(0, 4, '"dtype":"F32","shape":[9007199254740993]')}}`, 4),
      'SAFETENSORS_TENSOR',
      /shape/,
    ],
    [
      '65 axes',
      fileOf(`{"a":${entry(0, 4, `"dtype":"F32","shape":[${'1,'.repeat(64)}1]`)}}`, 4),
      'SAFETENSORS_TENSOR',
      /at most 64|shape/,
    ],
    [
      'axes that overflow',
      fileOf(`{"a":${entry(0, 4, '"dtype":"F32","shape":[4503599627370496,4503599627370496]')}}`, 4),
      'SAFETENSORS_TENSOR_BYTES',
      /has 4 bytes/,
    ],
    [
      'offsets in reverse',
      fileOf(`{"a":${entry(4, 0)}}`, 4),
      'SAFETENSORS_TENSOR',
      /data_offsets of "a" are \[4,0\]/,
    ],
    [
      'three offsets',
      fileOf('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}', 8),
      'SAFETENSORS_TENSOR',
      /\[0,4,8\]/,
    ],
    [
      'too few bytes for the shape',
      fileOf(`{"a":${entry(0, 2)}}`, 2),
      'SAFETENSORS_TENSOR_BYTES',
      /"a" has 2 bytes/,
    ],
    [
      'a tensor past the end',
      fileOf(`{"a":${entry(0, 4)}}`, 3),
      'SAFETENSORS_TENSOR_OUTSIDE',
      /"a" ends after the file/,
    ],
    [
      'tensors that share bytes',
      fileOf(`{"a":${entry(0, 4)},"b":${entry(2, 6)}}`, 6),
      'SAFETENSORS_OVERLAP',
      /"b" shares bytes/,
    ],
    [
      'the same bytes twice',
      fileOf(`{"a":${entry(0, 4)},"b":${entry(0, 4)}}`, 4),
      'SAFETENSORS_OVERLAP',
      /shares bytes/,
    ],
    ['a hole in front', fileOf(`{"a":${entry(4, 8)}}`, 8), 'SAFETENSORS_HOLE', /"a" leaves a hole/],
    [
      'a hole between',
      fileOf(`{"a":${entry(0, 4)},"b":${entry(8, 12)}}`, 12),
      'SAFETENSORS_HOLE',
      /"b" leaves a hole/,
    ],
    [
      'bytes after the last tensor',
      fileOf(`{"a":${entry(0, 4)}}`, 5),
      'SAFETENSORS_HOLE',
      /1 bytes after the last/,
    ],
  ])('with %s get a coded error', async (_what, source, code, message) => {
    await expectFailure(() => readSafetensors(source), 'validation', code, message);
  });

  it.each([
    ['an entry', (nested: string) => `{"a":${nested}}`],
    ['a shape', (nested: string) => `{"a":{"dtype":"F32","shape":${nested},"data_offsets":[0,0]}}`],
    ['an element type', (nested: string) => `{"a":{"dtype":${nested},"shape":[1],"data_offsets":[0,0]}}`],
    ['metadata', (nested: string) => `{"__metadata__":${nested}}`],
  ])('may nest %s deeply and get a short message', async (_what, header) => {
    const nested = '['.repeat(100_000) + ']'.repeat(100_000);
    const error = await failure(() => readSafetensors(fileOf(header(nested))));
    expect(error.code).toMatch(/^SAFETENSORS_(TENSOR|DTYPE|METADATA)$/);
    expect(error.message.length).toBeLessThan(300);
  });

  it('may have long names and get a short message', async () => {
    const source = fileOf(`{"${'n'.repeat(100_000)}":3}`);
    const error = await failure(() => readSafetensors(source));
    expect(error.message).toMatch(/cut from 100000 characters/);
    expect(error.message.length).toBeLessThan(500);
  });

  it('with an unknown element type say which are known', async () => {
    const source = fileOf(`{"a":${entry(0, 4, '"dtype":"F4","shape":[8]')}}`, 4);
    await expectFailure(
      () => readSafetensors(source),
      'unsupported',
      'SAFETENSORS_DTYPE',
      /"a" has the element type "F4"/,
    );
    const inherited = fileOf(`{"a":${entry(0, 4, '"dtype":"toString","shape":[1]')}}`, 4);
    await expectFailure(() => readSafetensors(inherited), 'unsupported', 'SAFETENSORS_DTYPE');
  });

  it('may have names that objects already know', async () => {
    const source = fileOf(`{"__proto__":${entry(0, 4)},"constructor":${entry(4, 8)}}`, 8);
    const { tensors } = await readSafetensors(source);
    expect(tensors.map(({ name }) => name)).toEqual(['__proto__', 'constructor']);
  });
});

describe('layoutSafetensors', () => {
  const row = { name: 'a', dtype: 'F32', shape: [2] } as const;

  it.each<[string, () => unknown, string]>([
    ['a name twice', () => layoutSafetensors({ tensors: [row, row] }), 'SAFETENSORS_NAME'],
    [
      'the reserved name',
      () => layoutSafetensors({ tensors: [{ ...row, name: '__metadata__' }] }),
      'SAFETENSORS_NAME',
    ],
    [
      'a negative axis',
      () => layoutSafetensors({ tensors: [{ ...row, shape: [-2] }] }),
      'SAFETENSORS_TENSOR',
    ],
    [
      'a lone surrogate',
      () => layoutSafetensors({ tensors: [{ ...row, name: '\udc00' }] }),
      'TEXT_NOT_UNICODE',
    ],
  ])('refuses %s', async (_what, step, code) => {
    await expectFailure(step, 'validation', code);
  });

  it('sizes every element type', () => {
    for (const dtype of safetensorsDtypeNames) {
      const { tensors } = layoutSafetensors({ tensors: [{ name: 'a', dtype, shape: [3] }] });
      expect(tensors[0].byteLength).toBe(3 * safetensorsDtypes[dtype]);
    }
  });

  it.each([7, 9])('and writeSafetensors refuse %d bytes for 8', async (count) => {
    const layout = layoutSafetensors({ tensors: [row] });
    await expectFailure(
      () =>
        writeSafetensors(new MemorySink(), layout, (_tensor, _index, sink) =>
          sink.write(new Uint8Array(count)),
        ),
      'validation',
      'SAFETENSORS_TENSOR_BYTES',
    );
  });
});
