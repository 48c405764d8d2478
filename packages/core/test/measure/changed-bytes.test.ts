import path from 'node:path';
import {
  decodeAffine,
  decodeFloats,
  encodeAffine,
  encodeFloats,
  importanceWeights,
  isTensorType,
  MemorySource,
  readBytes,
} from '@bitsmith/formats';
import { beforeAll, describe, expect, test } from 'vitest';
import { readImportance } from '../../src/io/read-importance.js';
import type { Change } from '../../src/measure/live/change.js';
import { changedBytes, changeSource } from '../../src/measure/live/changed-bytes.js';
import { WeightFiles } from '../../src/model/weight-files.js';
import { affineSpec } from '../../src/plan/affine-schemes.js';
import { type Damageable, damageable } from '../support/damage.js';
import { golden } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

const root = await temporaryFolder();
const down = 'blk.3.ffn_down.weight';
/** More weights than one slab holds. */
const embedding = 'token_embd.weight';
let sound: Damageable;

beforeAll(async () => {
  sound = await damageable(root, path.join(root, 'home'));
}, 300_000);

async function changed(tensor: string, change: Change, threads = 2): Promise<Uint8Array> {
  const files = await WeightFiles.open([path.join(root, 'sound.gguf')]);
  try {
    const importance = await readImportance(path.join(golden, 'orator-8m.imatrix.gguf'));
    const source = changeSource(files, importance, { threads, verbose: false });
    const { type, bytes } = await changedBytes(source, tensor, change);
    if (change.kind !== 'scheme') expect(type).toBe('BF16');
    else expect(type).toBe(isTensorType(change.scheme) ? change.scheme : 'F32');
    return bytes.slice();
  } finally {
    await files.close();
  }
}

async function stored(tensor: string): Promise<Uint8Array> {
  const { offset, byteLength } = sound.header.tensors.find(({ name }) => name === tensor)!;
  return readBytes(new MemorySource(sound.bytes), offset, byteLength);
}

const floats = (bytes: Uint8Array): Float32Array => decodeFloats('BF16', bytes);
const rms = (values: ArrayLike<number>): number =>
  Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0) / values.length);

describe('noise', () => {
  test.each([
    [down, 0.05],
    [embedding, 0.05],
    [down, 0.2],
  ])('in %s has %d of its root mean square', async (tensor, relative) => {
    const before = floats(await stored(tensor));
    const after = floats(await changed(tensor, { kind: 'noise', relative, seed: 1 }));
    const difference = after.map((value, index) => value - before[index]);
    // BF16 rounds what comes out, by about a thousandth of each weight.
    const expected = relative * rms(before);
    expect(Math.abs(rms(difference) / expected - 1)).toBeLessThan(0.01);
    const mean = difference.reduce((sum, value) => sum + value, 0) / difference.length;
    expect(Math.abs(mean)).toBeLessThan((4 * expected) / Math.sqrt(difference.length));
  });

  test('is the same for any number of threads, and another for another seed', async () => {
    const noise = { kind: 'noise', relative: 0.05, seed: 1 } as const;
    const one = await changed(embedding, noise, 1);
    expect(Buffer.compare(await changed(embedding, noise, 2), one)).toBe(0);
    expect(Buffer.compare(await changed(embedding, { ...noise, seed: 2 }), one)).not.toBe(0);
  });
});

test('single weights become zero, and no others', async () => {
  const weights = [
    { row: 4095, column: 255 },
    { row: 0, column: 0 },
    { row: 2500, column: 17 },
  ];
  const expected = floats(await stored(embedding));
  for (const { row, column } of weights) expected[row * 256 + column] = 0;
  expect(floats(await changed(embedding, { kind: 'without', weights }))).toEqual(expected);
});

test('a tensor of zeros', async () => {
  const zeros = await changed(down, { kind: 'zero' });
  expect(floats(zeros)).toEqual(new Float32Array(256 * 768));
});

test('a scheme has the same bytes for any number of threads', async () => {
  const scheme = { kind: 'scheme', scheme: 'Q3_K' } as const;
  expect(Buffer.compare(await changed(down, scheme, 1), await changed(down, scheme, 2))).toBe(0);
});

describe('affine schemes', () => {
  test.each([
    [down, 'affine4-g64'],
    ['output.weight', 'affine2-row'],
    [down, 'int8'],
  ] as const)('put into %s as %s what their codes decode to, exactly', async (tensor, scheme) => {
    const importance = await readImportance(path.join(golden, 'orator-8m.imatrix.gguf'));
    const { shape } = sound.header.tensors.find(({ name }) => name === tensor)!;
    const [rowLength, rows] = shape;
    const entry = importance.entries.get(tensor)!;
    const encoded = encodeAffine(
      { values: floats(await stored(tensor)), rows, rowLength, importance: importanceWeights(entry) },
      affineSpec(scheme)!,
    );
    const change = { kind: 'scheme', scheme } as const;
    const bytes = await changed(tensor, change);
    // Compared as bytes: of arrays so long, equality number by number takes seconds.
    expect(Buffer.compare(bytes, encodeFloats('F32', decodeAffine(encoded)))).toBe(0);
    expect(Buffer.compare(await changed(tensor, change, 1), bytes)).toBe(0);
  });
});
