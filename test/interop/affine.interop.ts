/** @file Affine codes as numpy makes them from their definition: the same bytes. */
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { type AffineSpec, decodeAffine, decodeF16, encodeAffine } from '../../packages/formats/src/index.js';
import { places } from './workspace.mjs';

const folder = await mkdtemp(path.join(os.tmpdir(), 'bitsmith-interop-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Answer {
  readonly data: readonly number[];
  readonly scales: readonly number[];
  readonly zeroPoints: readonly number[];
  readonly decoded: readonly number[];
}

const rows = 24;
const rowLength = 150;

/** Rows of both signs, of one, with an outlier, tiny, and of zeros; deterministic. */
const values = Float32Array.from({ length: rows * rowLength }, (_, index) => {
  const row = Math.floor(index / rowLength);
  const wave = Math.sin(index * 12.9898 + row) * Math.cos(index * 0.37);
  if (row % 6 === 1) return Math.abs(wave) + 0.5;
  if (row % 6 === 2) return -Math.abs(wave);
  if (row % 6 === 3) return index % rowLength === 77 ? 40 : wave;
  if (row % 6 === 4) return wave * 1e-6;
  return row % 6 === 5 && index % rowLength < 100 ? 0 : wave;
});

const specs = [1, 2, 3, 4, 5, 6, 7, 8].flatMap((bits) =>
  ([16, 64, 'row'] as const).flatMap((groupSize) =>
    (['asymmetric', 'symmetric'] as const).flatMap((symmetry) =>
      (['F16', 'F32'] as const).map((scaleType): AffineSpec => ({ bits, groupSize, symmetry, scaleType })),
    ),
  ),
);

test('every width, group, symmetry and scale', async () => {
  const file = path.join(folder, 'weights.f32');
  await writeFile(file, new Uint8Array(values.buffer));
  const script = path.join(places.suite, 'python', 'affine.py');
  const input = JSON.stringify(specs.map((spec) => ({ ...spec, rowLength, file })));
  const output = execFileSync(places.python, [script], { encoding: 'utf8', input, maxBuffer: 2 ** 27 });
  const answers = JSON.parse(output) as readonly Answer[];
  for (const [index, spec] of specs.entries()) {
    const encoded = encodeAffine({ values, rows, rowLength }, spec);
    const { scales } = encoded;
    const found: Answer = {
      data: [...encoded.data],
      scales: [...(scales instanceof Float32Array ? scales : decodeF16(scales))],
      zeroPoints: [...encoded.zeroPoints],
      decoded: [...decodeAffine(encoded)].map((value) => value + 0),
    };
    expect(found, JSON.stringify(spec)).toEqual(answers[index]);
  }
});
