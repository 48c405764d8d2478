import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { readGram, writeGrams } from '../../src/gram/gram-files.js';
import { CORRELATION_STEPS, correlationsBefore, packGram, unpackBand } from '../../src/gram/packed-gram.js';
import { SpanTriangle } from '../../src/gram/span-triangle.js';
import { triangleOf, wholeOf } from '../support/triangle.js';

/** Of some inputs, fewer than the matrix is wide among them. */
function gramOf(inputs: readonly (readonly number[])[], width: number): Float32Array {
  return Float32Array.from({ length: width * width }, (_, at) => {
    const [i, j] = [Math.floor(at / width), at % width];
    return inputs.reduce((sum, x) => sum + x[i] * x[j], 0) / inputs.length;
  });
}

function unpacked(gram: Float32Array): Float32Array {
  const { width, correlations, diagonal } = packGram(triangleOf(gram));
  const triangle = new SpanTriangle(width);
  for (let span = 0; span < triangle.spans; span++) {
    const [first, size] = [triangle.firstOf(span), triangle.sizeOf(span)];
    const rows = correlations.subarray(correlationsBefore(first), correlationsBefore(first + size));
    unpackBand(triangle, span, rows, diagonal);
  }
  return wholeOf(triangle);
}

const wideSpread = fc.double({ min: -6, max: 6, noNaN: true }).map((x) => Math.sign(x) * 10 ** Math.abs(x));
const inputsOf = (width: number) =>
  fc.array(fc.array(wideSpread, { minLength: width, maxLength: width }), { minLength: 1, maxLength: 12 });

test('what is unpacked is symmetric, its diagonal is exact, and no entry is further off than half a step', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }).chain((width) => inputsOf(width).map((inputs) => ({ width, inputs }))),
      ({ width, inputs }) => {
        const gram = gramOf(inputs, width);
        const again = unpacked(gram);
        for (let i = 0; i < width; i++) {
          expect(again[i * width + i]).toBe(gram[i * width + i]);
          for (let j = 0; j < i; j++) {
            expect(again[i * width + j]).toBe(again[j * width + i]);
            const size = Math.sqrt(gram[i * width + i] * gram[j * width + j]);
            // Half a step, and what floats leave out.
            const bound = size * (0.5 / CORRELATION_STEPS + 2e-7);
            expect(Math.abs(again[i * width + j] - gram[i * width + j])).toBeLessThanOrEqual(bound);
          }
        }
      },
    ),
  );
});

test('no direction costs less than nothing, but for what half a step of each input makes', () => {
  fc.assert(
    fc.property(inputsOf(6), fc.array(wideSpread, { minLength: 6, maxLength: 6 }), (inputs, x) => {
      const again = unpacked(gramOf(inputs, 6));
      let [energy, size] = [0, 0];
      for (let i = 0; i < 6; i++) {
        size += Math.sqrt(again[i * 7]) * Math.abs(x[i]);
        for (let j = 0; j < 6; j++) energy += x[i] * again[i * 6 + j] * x[j];
      }
      expect(energy).toBeGreaterThanOrEqual(-(0.5 / CORRELATION_STEPS + 4e-7) * size ** 2);
    }),
  );
});

test('inputs that are always zero stay so; what is no number stays none', () => {
  const gram = gramOf([[1, 0, -2]], 3);
  expect(unpacked(gram)).toEqual(gram);
  for (const broken of [Number.NaN, Infinity]) {
    const other = gram.slice();
    other[3] = other[1] = broken;
    expect(unpacked(other).every(Number.isFinite)).toBe(false);
  }
});

test('files hold two bytes an entry of the triangle, and give back what was packed', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'bitsmith-grams-'));
  try {
    const file = path.join(folder, 'grams.safetensors');
    const grams = new Map([
      ['blk.0.attn_q.weight', gramOf([[1, 2, -3]], 3)],
      // More than a span.
      ['blk.0.ffn_down.weight', gramOf([Array.from({ length: 300 }, (_, i) => Math.sin(i * i))], 300)],
    ]);
    await writeGrams(file, new Map([...grams].map(([name, gram]) => [name, triangleOf(gram)])));
    for (const [name, gram] of grams)
      expect(wholeOf(await readGram({ path: file, name }))).toEqual(unpacked(gram));
  } finally {
    await rm(folder, { recursive: true });
  }
});
