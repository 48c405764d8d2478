/** @file Files over 4 GiB, without the gigabytes. */
import { describe, expect, it } from 'vitest';
import {
  ggufString,
  ggufStringArray,
  ggufUint8Array,
  layoutGguf,
  readBytes,
  readGguf,
  writeGguf,
  type ByteSink,
  type GgufTensorSpec,
} from '../../src/index.js';
import { expectFailure } from '../support/errors.js';
import { SparseSource } from '../support/sparse-source.js';

const GIB = 2 ** 30;

const tensors: GgufTensorSpec[] = [
  { name: 'a', type: 'F16', shape: [65_536, 49_152] },
  { name: 'b', type: 'Q8_0', shape: [1_048_576, 8192] },
  { name: 'c', type: 'F32', shape: [3] },
];

describe('a GGUF of more than 4 GiB', () => {
  const layout = layoutGguf({ metadata: new Map([['general.name', ggufString('large')]]), tensors });

  it('keeps exact offsets', async () => {
    const [a, b, c] = layout.tensors;
    expect(a.byteLength).toBe(6 * GIB);
    expect(b.offset).toBe(a.offset + 6 * GIB);
    expect(b.byteLength).toBe(8.5 * GIB);
    expect(c.offset).toBe(layout.header.byteLength + 14.5 * GIB);
    expect(layout.byteLength).toBe(c.offset + 32);

    const marker = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
    const source = new SparseSource(layout.byteLength, [
      { offset: 0, bytes: layout.header },
      { offset: c.offset, bytes: marker },
    ]);
    const file = await readGguf(source);
    expect(file.tensors).toEqual(layout.tensors);
    expect(source.bytesRead).toBeLessThanOrEqual(64 * 1024);
    expect(await readBytes(source, file.tensors[2].offset, 12)).toEqual(marker);
  });

  it('is refused when its end is missing', async () => {
    const source = new SparseSource(layout.byteLength - 32, [{ offset: 0, bytes: layout.header }]);
    await expectFailure(
      () => readGguf(source),
      'validation',
      'GGUF_TENSOR_OUTSIDE',
      /"c" ends after the file/,
    );
  });

  it('is written with padding at the right places', async () => {
    const chunk = new Uint8Array(0.5 * GIB);
    const sink = countingSink();
    await writeGguf(sink, layout, async (tensor, index, target) => {
      expect(sink.bytesWritten).toBe(tensor.offset);
      const piece = index === 2 ? chunk.subarray(0, 12) : chunk;
      for (let left = tensor.byteLength; left > 0; left -= piece.byteLength) await target.write(piece);
    });
    expect(sink.bytesWritten).toBe(layout.byteLength);
  });
});

describe('a large header', () => {
  it('of 150,000 tokens and as many merges parses in under 300 ms', async () => {
    const words = Array.from({ length: 150_000 }, (_, index) => `Ġtoken${index.toString(36)}`);
    const merges = words.map((word) => `${word.slice(0, 3)} ${word.slice(3)}`);
    const metadata = new Map([
      ['tokenizer.ggml.tokens', ggufStringArray(words)],
      ['tokenizer.ggml.merges', ggufStringArray(merges)],
    ]);
    const { header } = layoutGguf({ metadata, tensors: [] });
    const source = new SparseSource(header.byteLength, [{ offset: 0, bytes: header }]);
    const times: number[] = [];
    for (let run = 0; run < 3; run++) {
      const start = performance.now();
      const file = await readGguf(source);
      times.push(performance.now() - start);
      expect([...file.metadata]).toEqual([...metadata]);
    }
    expect(Math.min(...times)).toBeLessThan(300);
  });

  it('is not read beyond half a gigabyte, however long the file is', async () => {
    const metadata = new Map([['k', ggufUint8Array([])]]);
    const bytes = layoutGguf({ metadata, tensors: [] }).header.slice();
    const countOffset = 24 + 8 + 1 + 4 + 4;
    new DataView(bytes.buffer).setBigUint64(countOffset, 2n ** 29n, true);
    const source = new SparseSource(2 ** 40, [{ offset: 0, bytes }]);
    await expectFailure(() => readGguf(source), 'validation', 'GGUF_COUNT', /"k" declares 536870912 numbers/);
    // As many empty keys as a header may declare: the first already repeats or is empty.
    const keys = layoutGguf({ metadata: new Map(), tensors: [] }).header.slice();
    new DataView(keys.buffer).setBigUint64(16, 65_536n, true);
    await expectFailure(
      () => readGguf(new SparseSource(2 ** 40, [{ offset: 0, bytes: keys }])),
      'validation',
      'GGUF_KEY',
    );
  });

  it('is never asked for more than the file holds', async () => {
    // A terabyte of zeros: counts alone cannot make the reader allocate or loop.
    const { header } = layoutGguf({ metadata: new Map([['k', ggufStringArray([])]]), tensors: [] });
    const bytes = header.slice();
    new DataView(bytes.buffer).setBigUint64(24 + 8 + 1 + 4 + 4, 2n ** 36n, true);
    const source = new SparseSource(2 ** 40, [{ offset: 0, bytes }]);
    await expectFailure(() => readGguf(source), 'validation', 'GGUF_COUNT', /68719476736 items/);
  });
});

function countingSink(): ByteSink {
  let bytesWritten = 0;
  return {
    get bytesWritten() {
      return bytesWritten;
    },
    async write(bytes) {
      bytesWritten += bytes.byteLength;
    },
  };
}
