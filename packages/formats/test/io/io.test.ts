import { describe, expect, it } from 'vitest';
import {
  alignUp,
  assertInside,
  MemorySink,
  MemorySource,
  readBytes,
  type ByteSource,
} from '../../src/index.js';
import { BoundedSink } from '../../src/io/bounded-sink.js';
import { ByteWriter } from '../../src/io/byte-writer.js';
import { WindowedReader } from '../../src/io/windowed-reader.js';
import { expectFailure } from '../support/errors.js';
import { SparseSource } from '../support/sparse-source.js';

const truncated = { kind: 'validation', code: 'TEST_TRUNCATED', format: 'test' } as const;

/** Bytes that tell where they stand. */
function counting(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => index % 251);
}

class RecordingSource extends MemorySource {
  readonly reads: [offset: number, length: number][] = [];

  override async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    this.reads.push([offset, target.byteLength]);
    await super.readInto(target, offset, signal);
  }
}

describe('alignUp', () => {
  it('rounds up beyond 2^32', () => {
    expect(alignUp(0, 32)).toBe(0);
    expect(alignUp(1, 32)).toBe(32);
    expect(alignUp(2 ** 40 + 1, 32)).toBe(2 ** 40 + 32);
  });
});

describe('a memory source', () => {
  it('refuses ranges outside', async () => {
    const source = new MemorySource(counting(8));
    expect(await readBytes(source, 6, 2)).toEqual(Uint8Array.of(6, 7));
    for (const [offset, length] of [
      [7, 2],
      [-1, 1],
      [0, -1],
      [0.5, 1],
      [2 ** 53, 1],
      [0, 2 ** 60],
    ]) {
      await expectFailure(() => readBytes(source, offset, length), 'validation', 'SOURCE_TRUNCATED');
    }
    expect(() => assertInside(source, 8, 0)).not.toThrow();
  });
});

describe('a windowed reader', () => {
  it('reads small headers in one small read, and large ones in growing windows', async () => {
    const source = new RecordingSource(counting(1_000_000));
    const reader = new WindowedReader(source, { truncated });
    for (let index = 0; index < 1_000_000; index++) {
      if (!reader.has(1)) await reader.load(1, 'a byte');
      if (reader.uint8() !== index % 251) throw new Error(`wrong byte at ${index}`);
      if (index === 60_000) expect(source.reads).toEqual([[0, 65_536]]);
    }
    expect(source.reads.map(([, length]) => length)).toEqual([65_536, 131_072, 262_144, 524_288, 16_960]);
    expect(reader.remaining).toBe(0);
    await expectFailure(
      () => reader.load(1, 'more'),
      'validation',
      'TEST_TRUNCATED',
      /1 bytes for more at offset 1000000/,
    );
  });

  it('keeps its place over windows of any kind', async () => {
    const source = new RecordingSource(counting(400_000));
    const reader = new WindowedReader(source, { truncated });
    await reader.load(10, 'a start');
    const view = reader.take(10);
    const direct = new Uint8Array(200_000);
    await reader.readInto(direct, 'a block');
    expect(direct).toEqual(counting(200_010).subarray(10));
    expect(reader.position).toBe(200_010);
    await reader.load(100_000, 'a large piece');
    expect(reader.take(100_000)).toEqual(counting(300_010).subarray(200_010));
    await reader.readInto(direct.subarray(0, 5), 'a buffered piece');
    expect(direct[0]).toBe(300_010 % 251);
    expect(view).toEqual(counting(10));
    expect(reader.position).toBe(300_015);
  });

  it('stops at its limit before it allocates', async () => {
    const source: ByteSource = new SparseSource(2 ** 45, []);
    const limit = { position: 100_000, error: () => new Error('too far') };
    const reader = new WindowedReader(source, { truncated, limit });
    await reader.load(100_000, 'all that is allowed');
    reader.take(100_000);
    await expect(reader.load(1_000_000, 'too much')).rejects.toThrow('too far');
    await expect(reader.readInto(new Uint8Array(1), 'one more')).rejects.toThrow('too far');
  });

  it('reads 64-bit counts without losing their size', async () => {
    const writer = new ByteWriter();
    for (const count of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) writer.count64(count);
    writer.bigUint64(2n ** 64n - 1n);
    const reader = new WindowedReader(new MemorySource(writer.toBytes()), { truncated });
    await reader.load(48, 'counts');
    expect(Array.from({ length: 5 }, () => reader.count64())).toEqual([
      0,
      1,
      2 ** 32 - 1,
      2 ** 32,
      2 ** 53 - 1,
    ]);
    expect(reader.count64()).toBe(2 ** 64);
  });
});

describe('a bounded sink', () => {
  it('passes exactly its bytes on', async () => {
    const target = new MemorySink();
    const sink = new BoundedSink(target, 3, (found) => new Error(`found ${found}`));
    await sink.write(Uint8Array.of(1, 2));
    expect(() => sink.finish()).toThrow('found 2');
    await expect(sink.write(Uint8Array.of(3, 4))).rejects.toThrow('found 4');
    await sink.write(Uint8Array.of(3));
    sink.finish();
    expect(target.toBytes()).toEqual(Uint8Array.of(1, 2, 3));
  });
});

describe('a byte writer', () => {
  it('grows, and pads with zeros', () => {
    const writer = new ByteWriter();
    for (let index = 0; index < 100_001; index++) writer.uint8(255);
    writer.pad(64);
    const bytes = writer.toBytes();
    expect(bytes.byteLength).toBe(100_032);
    expect(bytes.subarray(100_001).every((byte) => byte === 0)).toBe(true);
    expect(bytes[100_000]).toBe(255);
  });
});
