import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ggufString,
  ggufStringArray,
  ggufUint32,
  importanceWeights,
  layoutGguf,
  layoutImatrix,
  MemorySink,
  MemorySource,
  readAnyImatrix,
  readImatrix,
  readLegacyImatrix,
  writeGguf,
  writeImatrix,
  type GgufTensorSpec,
  type GgufValue,
  type ImportanceEntry,
  type ImportanceMatrix,
} from '../../src/index.js';
import { extraTensor, squares } from '../support/arbitraries.js';
import { Bytes } from '../support/bytes.js';
import { expectFailure } from '../support/errors.js';
import { goldenBytes, goldenSource } from '../support/golden.js';

async function written(matrix: ImportanceMatrix): Promise<Uint8Array> {
  const sink = new MemorySink();
  const layout = layoutImatrix(matrix);
  await writeImatrix(sink, layout);
  expect(sink.bytesWritten).toBe(layout.byteLength);
  return sink.toBytes();
}

describe('files by llama-imatrix', () => {
  it.each(['dense', 'experts'])('imatrix-%s.gguf is written back with the same bytes', async (name) => {
    const bytes = goldenBytes(`imatrix-${name}.gguf`);
    const matrix = await readAnyImatrix(new MemorySource(bytes));
    expect(matrix).toMatchObject({ datasets: ['text.tmp'], chunkSize: 32 });
    expect(Buffer.from(await written(matrix)).equals(bytes)).toBe(true);
  });

  it('hold one row for a dense tensor and one per expert for a merged one', async () => {
    const dense = await readImatrix(goldenSource('imatrix-dense.gguf'));
    expect(dense.entries.size).toBe(7);
    expect(dense.entries.get('blk.0.ffn_down.weight')).toMatchObject({ columns: 64, matrices: 1 });
    const experts = await readImatrix(goldenSource('imatrix-experts.gguf'));
    const down = experts.entries.get('blk.0.ffn_down_exps.weight')!;
    expect(down).toMatchObject({ columns: 64, matrices: 4 });
    expect(down.counts).toHaveLength(4);
    expect(down.counts).toContain(0);
    expect(down.counts.reduce((sum, count) => sum + count)).toBe(
      dense.entries.get('blk.0.attn_q.weight')!.counts[0],
    );
  });

  it('give the same weights in the legacy form, up to its rounding', async () => {
    const modern = await readImatrix(goldenSource('imatrix-dense.gguf'));
    const legacy = await readAnyImatrix(goldenSource('imatrix-dense.dat'));
    expect(legacy).toMatchObject({ datasets: ['text.tmp'], chunkCount: modern.chunkCount, chunkSize: 0 });
    expect([...legacy.entries.keys()]).toEqual([...modern.entries.keys()]);
    for (const [name, entry] of modern.entries) {
      const expected = importanceWeights(entry);
      const found = importanceWeights(legacy.entries.get(name)!);
      expect(found).toHaveLength(expected.length);
      found.forEach((weight, index) => expect(weight / expected[index]).toBeCloseTo(1, 6));
    }
  });
});

describe('importanceWeights', () => {
  const entry: ImportanceEntry = {
    columns: 2,
    matrices: 3,
    inSum2: Float32Array.of(1, 10, 5, 6, 1, 2),
    counts: Float32Array.of(3, 0, 1.5),
  };

  it('divides by the count of each matrix in float32, and gives 1 where there is none', () => {
    expect([...importanceWeights(entry)]).toEqual([Math.fround(1 / 3), Math.fround(10 / 3), 1, 1, 0.5, 1]);
  });
});

const names = fc
  .string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 40 })
  .map((name) => `${name}.weight`);

const entry: fc.Arbitrary<ImportanceEntry> = fc
  .record({
    columns: fc.integer({ min: 1, max: 9 }),
    matrices: fc.integer({ min: 1, max: 4 }),
    sums: fc.boolean(),
  })
  .chain(({ columns, matrices, sums }) =>
    fc
      .record({
        inSum2: squares(columns * matrices),
        counts: squares(matrices),
        inSum: sums ? squares(columns * matrices) : fc.constant(undefined),
      })
      .map(({ inSum, ...rest }) => ({
        columns,
        matrices,
        ...rest,
        ...(inSum === undefined ? {} : { inSum }),
      })),
  );

const matrices: fc.Arbitrary<ImportanceMatrix> = fc.record({
  datasets: fc.array(fc.string({ unit: 'binary', maxLength: 9 }), { maxLength: 3 }),
  chunkCount: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  chunkSize: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  entries: fc.array(fc.tuple(names, entry), { minLength: 1, maxLength: 5 }).map(sortedMap),
  extra: fc
    .array(
      fc.tuple(
        names.map((name) => `${name}.row_counts`),
        extraTensor,
      ),
      { maxLength: 2 },
    )
    .map(sortedMap),
  metadata: fc.constant(new Map<string, GgufValue>([['bitsmith.seed', ggufUint32(7)]])),
});

function sortedMap<T>(entries: [string, T][]): Map<string, T> {
  return new Map([...new Map(entries)].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** ggml stores no trailing axes of length 1. */
function storedShape(shape: readonly number[]): readonly number[] {
  return shape.slice(0, Math.max(1, shape.findLastIndex((extent) => extent !== 1) + 1));
}

describe('an importance matrix, written and read back', () => {
  it('is the same', async () => {
    await fc.assert(
      fc.asyncProperty(matrices, async (matrix) => {
        const { entries, extra, metadata, ...rest } = await readImatrix(
          new MemorySource(await written(matrix)),
        );
        expect(rest).toEqual({
          datasets: matrix.datasets,
          chunkCount: matrix.chunkCount,
          chunkSize: matrix.chunkSize,
        });
        expect([...entries]).toEqual([...matrix.entries]);
        expect([...extra]).toEqual(
          [...matrix.extra].map(([name, { shape, values }]) => [name, { shape: storedShape(shape), values }]),
        );
        expect(metadata).toEqual(matrix.metadata);
      }),
      { numRuns: 200, seed: 3 },
    );
  });
});

const keys = new Map<string, GgufValue>([
  ['general.type', ggufString('imatrix')],
  ['imatrix.datasets', ggufStringArray([])],
  ['imatrix.chunk_count', ggufUint32(1)],
  ['imatrix.chunk_size', ggufUint32(512)],
]);

type Tensor = [GgufTensorSpec, number[]];

function f32(name: string, shape: number[], values: number[]): Tensor {
  return [{ name, type: 'F32', shape }, values];
}

async function ggufOf(metadata: ReadonlyMap<string, GgufValue>, tensors: Tensor[]): Promise<MemorySource> {
  const sink = new MemorySink();
  const layout = layoutGguf({ metadata, tensors: tensors.map(([spec]) => spec) });
  await writeGguf(sink, layout, ({ byteLength }, index, target) =>
    target.write(new Uint8Array(Float32Array.from(tensors[index][1]).buffer).subarray(0, byteLength)),
  );
  return new MemorySource(sink.toBytes());
}

function without(key: string): Map<string, GgufValue> {
  return new Map([...keys].filter(([name]) => name !== key));
}

const sound: Tensor[] = [f32('a.in_sum2', [2], [1, 2]), f32('a.counts', [1], [3])];

describe('a damaged importance matrix', () => {
  it.each<[string, ReadonlyMap<string, GgufValue>, Tensor[], string, RegExp]>([
    [
      'a model instead',
      new Map([['general.type', ggufString('model')]]),
      sound,
      'IMATRIX_TYPE',
      /of type "model"/,
    ],
    ['no datasets', without('imatrix.datasets'), sound, 'IMATRIX_METADATA', /imatrix\.datasets is missing/],
    ['no chunk count', without('imatrix.chunk_count'), sound, 'IMATRIX_METADATA', /chunk_count is missing/],
    [
      'text as chunk size',
      new Map([...keys, ['imatrix.chunk_size', ggufString('512')]]),
      sound,
      'GGUF_KEY_TYPE',
      /chunk_size/,
    ],
    ['no tensors', keys, [], 'IMATRIX_EMPTY', /no entries/],
    ['only further tensors', keys, [f32('x', [1], [1])], 'IMATRIX_EMPTY', /no entries/],
    ['sums without counts', keys, sound.slice(0, 1), 'IMATRIX_UNPAIRED', /"a\.counts" is missing/],
    ['counts without sums', keys, sound.slice(1), 'IMATRIX_UNPAIRED', /"a\.in_sum2" is missing/],
    [
      'counts that do not divide',
      keys,
      [sound[0], f32('a.counts', [1, 3], [1, 1, 1])],
      'IMATRIX_SHAPE',
      /"a" has 2 sums of squares/,
    ],
    [
      'more counts than sums',
      keys,
      [sound[0], f32('a.counts', [1, 4], [1, 1, 1, 1])],
      'IMATRIX_SHAPE',
      /"a" has 2/,
    ],
    [
      'sums of another length',
      keys,
      [...sound, f32('a.in_sum', [3], [1, 2, 3])],
      'IMATRIX_SHAPE',
      /"a" has 3 sums/,
    ],
    [
      'NaN',
      keys,
      [f32('a.in_sum2', [2], [1, NaN]), sound[1]],
      'IMATRIX_VALUE',
      /the sum of squares NaN at position 1/,
    ],
    [
      'infinity',
      keys,
      [f32('a.in_sum2', [2], [Infinity, 1]), sound[1]],
      'IMATRIX_VALUE',
      /Infinity at position 0/,
    ],
    [
      'a negative square',
      keys,
      [f32('a.in_sum2', [2], [1, -1]), sound[1]],
      'IMATRIX_VALUE',
      /-1 at position 1/,
    ],
    ['a negative count', keys, [sound[0], f32('a.counts', [1], [-3])], 'IMATRIX_VALUE', /the count -3/],
    [
      'another element type',
      keys,
      [[{ name: 'a.in_sum2', type: 'F16', shape: [2] }, [1, 2]], sound[1]],
      'IMATRIX_TENSOR_TYPE',
      /stored as F16/,
    ],
  ])('with %s gets a coded error', async (_what, metadata, tensors, code, message) => {
    const source = await ggufOf(metadata, tensors);
    await expectFailure(() => readImatrix(source), 'importance-file', code, message);
  });

  it('keeps the code of its container', async () => {
    const bytes = goldenBytes('imatrix-dense.gguf');
    const cut = new MemorySource(bytes.subarray(0, 250));
    await expectFailure(() => readAnyImatrix(cut), 'importance-file', 'GGUF_COUNT');
  });

  it('is not written either', async () => {
    const { entries, ...matrix } = await readImatrix(goldenSource('imatrix-dense.gguf'));
    const broken = { columns: 2, matrices: 1, inSum2: Float32Array.of(1, NaN), counts: Float32Array.of(1) };
    const layouts: [Partial<ImportanceMatrix>, string][] = [
      [{ entries: new Map() }, 'IMATRIX_EMPTY'],
      [{ entries: new Map([['a', broken]]) }, 'IMATRIX_VALUE'],
      [{ entries: new Map([['a', { ...broken, columns: 3 }]]) }, 'IMATRIX_SHAPE'],
      [
        { entries, extra: new Map([['b.counts', { shape: [1], values: Float32Array.of(1) }]]) },
        'IMATRIX_NAME',
      ],
      [{ entries, extra: new Map([['b', { shape: [2], values: Float32Array.of(1) }]]) }, 'IMATRIX_SHAPE'],
    ];
    for (const [part, code] of layouts) {
      await expectFailure(() => layoutImatrix({ entries, ...matrix, ...part }), 'importance-file', code);
    }
  });
});

const i32 = (bytes: Bytes, value: number): Bytes => bytes.u32(value < 0 ? value + 2 ** 32 : value);

function legacyEntry(bytes: Bytes, name: string, calls: number, values: number[]): Bytes {
  i32(bytes, name.length).text(name);
  i32(bytes, calls);
  i32(bytes, values.length);
  for (const value of values) bytes.f32(value);
  return bytes;
}

describe('the legacy form', () => {
  it('may lack what follows the entries, and have no calls', async () => {
    const bytes = legacyEntry(i32(new Bytes(), 1), 'a', 0, [1, 2]);
    const matrix = await readLegacyImatrix(new MemorySource(bytes.toBytes()));
    expect(matrix).toMatchObject({ datasets: [], chunkCount: 0, chunkSize: 0 });
    expect([...importanceWeights(matrix.entries.get('a')!)]).toEqual([1, 2]);
  });

  it.each<[string, Bytes, string, RegExp]>([
    ['nothing', new Bytes(), 'IMATRIX_TRUNCATED', /number of entries/],
    ['no entries', i32(new Bytes(), 0).zeros(40), 'IMATRIX_COUNT', /declares 0 entries/],
    ['a negative count', i32(new Bytes(), -1).zeros(40), 'IMATRIX_COUNT', /declares -1 entries/],
    ['too many entries', i32(new Bytes(), 9).zeros(40), 'IMATRIX_COUNT', /1 to 2 are possible/],
    [
      'a name past the end',
      i32(i32(new Bytes(), 1), 900).zeros(20),
      'IMATRIX_COUNT',
      /bytes of the name of entry 0/,
    ],
    ['a name that is not text', i32(i32(new Bytes(), 1), 1).raw(0xff).zeros(20), 'IMATRIX_NAME', /UTF-8/],
    [
      'no values',
      legacyEntry(i32(new Bytes(), 1), 'a', 1, []).zeros(8),
      'IMATRIX_COUNT',
      /declares 0 values of "a"/,
    ],
    [
      'values past the end',
      i32(i32(i32(new Bytes(), 1), 1).text('a').u32(1), 99).zeros(8),
      'IMATRIX_COUNT',
      /99 values of "a"/,
    ],
    [
      'an entry twice',
      legacyEntry(legacyEntry(i32(new Bytes(), 2), 'a', 1, [1]), 'a', 1, [1]),
      'IMATRIX_DUPLICATE',
      /"a"/,
    ],
    ['NaN', legacyEntry(i32(new Bytes(), 1), 'a', 1, [NaN]), 'IMATRIX_VALUE', /NaN at position 0/],
    [
      'half a chunk count',
      legacyEntry(i32(new Bytes(), 1), 'a', 1, [1]).raw(1, 2),
      'IMATRIX_TRUNCATED',
      /number of chunks/,
    ],
    [
      'negative chunks',
      i32(legacyEntry(i32(new Bytes(), 1), 'a', 1, [1]), -5),
      'IMATRIX_METADATA',
      /chunks is -5/,
    ],
    [
      'a text name past the end',
      legacyEntry(i32(new Bytes(), 1), 'a', 1, [1]).u32(3).u32(9),
      'IMATRIX_TRUNCATED',
      /text name/,
    ],
    [
      'a text name too long',
      legacyEntry(i32(new Bytes(), 1), 'a', 1, [1]).u32(3).u32(1e6),
      'IMATRIX_COUNT',
      /text name/,
    ],
    [
      'bytes at the end',
      legacyEntry(i32(new Bytes(), 1), 'a', 1, [1]).u32(3).u32(1).text('tail'),
      'IMATRIX_TRAILING',
      /3 bytes/,
    ],
  ])('with %s gets a coded error', async (_what, bytes, code, message) => {
    await expectFailure(
      () => readLegacyImatrix(new MemorySource(bytes.toBytes())),
      'importance-file',
      code,
      message,
    );
  });
});
