import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packCodes, unpackCodes } from '../../src/affine/bit-stream.js';
import { coveringScale, nearestScale } from '../../src/affine/scale.js';
import {
  affineBitsPerWeight,
  affineByteLength,
  type AffineSpec,
  type AffineTensor,
  decodeAffine,
  decodeF16,
  encodeAffine,
} from '../../src/index.js';
import { expectFailure } from '../support/errors.js';

const allBits = [1, 2, 3, 4, 5, 6, 7, 8];
const groupSizes = [1, 16, 32, 64, 128, 256, 'row'] as const;
const runs = { numRuns: 150 };

const specs = fc.record<AffineSpec>({
  bits: fc.constantFrom(...allBits),
  groupSize: fc.constantFrom(...groupSizes),
  symmetry: fc.constantFrom('symmetric', 'asymmetric'),
  scaleType: fc.constantFrom('F16', 'F32'),
});

/** Of one sign, of both, of all magnitudes from subnormal to large, with zeros. */
const magnitudes = fc.oneof(
  fc.double({ min: -1, max: 1, noNaN: true }),
  fc.double({ min: 0.5, max: 8, noNaN: true }),
  fc.double({ min: -1e-6, max: 1e-7, noNaN: true }),
  fc.double({ min: -1e4, max: 1e4, noNaN: true }),
  fc.constant(0),
);

const matrices = fc
  .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 100 }))
  .chain(([rows, rowLength]) =>
    fc
      .array(magnitudes, { minLength: rows * rowLength, maxLength: rows * rowLength })
      .map((values) => ({ rows, rowLength, values: Float32Array.from(values) })),
  );

function groupOf({ groupSize }: AffineSpec, rowLength: number): number {
  return groupSize === 'row' ? rowLength : groupSize;
}

/** The scale of the group that weight `index` belongs to, as stored. */
function scaleAt({ spec, rowLength, scales }: AffineTensor, index: number): number {
  const size = groupOf(spec, rowLength);
  const at =
    Math.floor(index / rowLength) * Math.ceil(rowLength / size) + Math.floor((index % rowLength) / size);
  return scales instanceof Float32Array ? scales[at] : decodeF16(scales)[at];
}

function squaredError(a: Float32Array, b: Float32Array, weights: Float32Array): number {
  return a.reduce((sum, value, i) => sum + weights[i % weights.length] * (value - b[i]) ** 2, 0);
}

describe('affine codes', () => {
  it('are within half a scale of the weight, and keep zero', () => {
    fc.assert(
      fc.property(matrices, specs, (matrix, spec) => {
        const encoded = encodeAffine(matrix, spec);
        const decoded = decodeAffine(encoded);
        expect(decoded).toHaveLength(matrix.values.length);
        for (const [index, value] of matrix.values.entries()) {
          const scale = scaleAt(encoded, index);
          // Float32 holds (code - zero) scale to 24 bits.
          const rounding = scale * 2 ** (spec.bits - 24);
          expect(Math.abs(decoded[index] - value)).toBeLessThanOrEqual(scale / 2 + rounding);
          if (value === 0) expect(decoded[index]).toBe(0);
        }
      }),
      runs,
    );
  });

  it('take exactly the bytes of the formula', () => {
    fc.assert(
      fc.property(matrices, specs, (matrix, spec) => {
        const { data, scales, zeroPoints } = encodeAffine(matrix, spec);
        const bytes = data.byteLength + scales.byteLength + zeroPoints.byteLength;
        expect(bytes).toBe(affineByteLength(spec, [matrix.rowLength, matrix.rows]));
      }),
      runs,
    );
  });

  it('of one group do not depend on another', () => {
    fc.assert(
      fc.property(matrices, specs, fc.nat(), (matrix, spec, pick) => {
        const { values, rows, rowLength } = matrix;
        const size = groupOf(spec, rowLength);
        const row = pick % rows;
        const group = pick % Math.ceil(rowLength / size);
        const first = row * rowLength + group * size;
        const alone = values.slice(first, Math.min(first + size, (row + 1) * rowLength));
        const whole = decodeAffine(encodeAffine(matrix, spec));
        const part = encodeAffine({ values: alone, rows: 1, rowLength: alone.length }, spec);
        expect(decodeAffine(part)).toEqual(whole.slice(first, first + alone.length));
      }),
      runs,
    );
  });

  it('searched for with importance never err more than those of the whole range', () => {
    fc.assert(
      fc.property(matrices, specs, fc.integer({ min: 0, max: 2 ** 31 }), (matrix, spec, seed) => {
        const { values, rowLength } = matrix;
        const importance = Float32Array.from({ length: rowLength }, (_, i) => ((seed >>> (i % 24)) & 7) / 7);
        const plain = decodeAffine(encodeAffine(matrix, spec));
        const searched = decodeAffine(encodeAffine({ ...matrix, importance }, spec));
        const least = squaredError(values, searched, importance);
        const bound = squaredError(values, plain, importance);
        const energy = squaredError(values, new Float32Array(values.length), importance);
        expect(least).toBeLessThanOrEqual(bound * (1 + 1e-6) + energy * 1e-13);
        for (const [index, value] of values.entries()) if (value === 0) expect(searched[index]).toBe(0);
      }),
      runs,
    );
  });

  it('searched for halve the error of Gaussian weights at two bits', () => {
    let state = 1;
    const uniform = (): number => (state = (state * 48_271) % 0x7fffffff) / 0x7fffffff;
    const values = Float32Array.from({ length: 64 * 64 }, () =>
      Array.from({ length: 12 }, uniform).reduce((sum, value) => sum + value, -6),
    );
    const spec: AffineSpec = { bits: 2, groupSize: 64, symmetry: 'asymmetric', scaleType: 'F16' };
    const matrix = { values, rows: 64, rowLength: 64 };
    const ones = new Float32Array(64).fill(1);
    const plain = squaredError(values, decodeAffine(encodeAffine(matrix, spec)), ones);
    const searched = encodeAffine({ ...matrix, importance: ones }, spec);
    expect(squaredError(values, decodeAffine(searched), ones)).toBeLessThan(plain * 0.6);
  });

  it('hold groups of one value and of one sign', () => {
    for (const bits of allBits) {
      for (const symmetry of ['symmetric', 'asymmetric'] as const) {
        const spec: AffineSpec = { bits, groupSize: 4, symmetry, scaleType: 'F32' };
        const values = Float32Array.of(0, 0, 0, 0, 3, 3, 3, 3, -0.5, -0.5, -0.5, -0.5, 5, 6, 7, 8, -8, -7);
        const encoded = encodeAffine({ values, rows: 1, rowLength: values.length }, spec);
        const decoded = decodeAffine(encoded);
        expect(decoded.slice(0, 4)).toEqual(new Float32Array(4));
        expect(encoded.scales[0]).toBe(0);
        if (symmetry === 'symmetric') continue;
        for (let index = 4; index < 12; index++) expect(decoded[index]).toBeCloseTo(values[index], 5);
        expect(decoded[15]).toBeCloseTo(8, 5);
        expect(decoded[16]).toBeCloseTo(-8, 5);
      }
    }
  });

  it('are those of the definition, number by number', () => {
    // lo = -1, hi = 2: scale 0.2, zero 5.
    const spec: AffineSpec = { bits: 4, groupSize: 'row', symmetry: 'asymmetric', scaleType: 'F32' };
    const values = Float32Array.of(-1, -0.31, 0, 0.49, 2);
    const { data, scales, zeroPoints } = encodeAffine({ values, rows: 1, rowLength: 5 }, spec);
    expect(scales[0]).toBeCloseTo(0.2, 7);
    expect([...zeroPoints]).toEqual([5]);
    expect([...data]).toEqual([0x30, 0x75, 0x0f]);
  });

  it('refuse weights that are not finite, too large, or of another shape', async () => {
    const spec: AffineSpec = { bits: 4, groupSize: 2, symmetry: 'asymmetric', scaleType: 'F16' };
    const encode = (values: number[], rowLength = 3) =>
      encodeAffine({ values: Float32Array.from(values), rows: 2, rowLength }, spec);
    const at = /NaN at row 1, column 2/;
    await expectFailure(() => encode([1, 2, 3, 4, 5, Number.NaN]), 'validation', 'VALUES_NOT_FINITE', at);
    await expectFailure(
      () => encode([1, -Infinity, 3, 4, 5, 6]),
      'validation',
      'VALUES_NOT_FINITE',
      /row 0, column 1/,
    );
    await expectFailure(
      () => encode([1, 2, 3, 4, 5, 1e30]),
      'validation',
      'VALUES_TOO_LARGE',
      /row 1, column 2/,
    );
    await expectFailure(() => encode([1, 2, 3]), 'validation', 'AFFINE_SHAPE');
    await expectFailure(() => affineByteLength({ ...spec, bits: 9 }, [4]), 'arguments', 'AFFINE_SPEC');
    await expectFailure(() => affineByteLength({ ...spec, groupSize: 0 }, [4]), 'arguments', 'AFFINE_SPEC');
    await expectFailure(() => affineByteLength(spec, [4, 2 ** 53]), 'validation', 'AFFINE_SHAPE');
    const importance = Float32Array.of(1, -1, 1);
    const weighed = { values: new Float32Array(3), rows: 1, rowLength: 3, importance };
    await expectFailure(() => encodeAffine(weighed, spec), 'validation', 'IMPORTANCE_INVALID', /column 1/);
    const short = { ...encode([1, 2, 3, 4, 5, 6]), data: new Uint8Array(1) };
    await expectFailure(() => decodeAffine(short), 'validation', 'AFFINE_SHAPE', /4 bytes of data, found 1/);
  });
});

describe('sizes', () => {
  it('never grow with fewer bits, nor shrink with smaller groups', () => {
    const shapes = fc.array(fc.integer({ min: 0, max: 3000 }), { minLength: 1, maxLength: 3 });
    const sizes = groupSizes.map((size) => (size === 'row' ? Infinity : size));
    fc.assert(
      fc.property(specs, specs, shapes, (one, other, shape) => {
        const { symmetry, scaleType } = one;
        const bytes = (bits: number, groupSize: AffineSpec['groupSize']) =>
          affineByteLength({ bits, groupSize, symmetry, scaleType }, shape);
        const [few, many] = [one.bits, other.bits].toSorted((a, b) => a - b);
        expect(bytes(few, one.groupSize)).toBeLessThanOrEqual(bytes(many, one.groupSize));
        const [a, b] = [one, other].map(({ groupSize }) => sizes[groupSizes.indexOf(groupSize as 'row')]);
        const [small, large] = a <= b ? [one, other] : [other, one];
        expect(bytes(few, large.groupSize)).toBeLessThanOrEqual(bytes(few, small.groupSize));
      }),
      { numRuns: 400 },
    );
  });

  it('are the bits per weight of whole groups', () => {
    const spec: AffineSpec = { bits: 3, groupSize: 128, symmetry: 'asymmetric', scaleType: 'F16' };
    expect(affineBitsPerWeight(spec)).toBe(3 + 19 / 128);
    expect(affineByteLength(spec, [1024, 10]) * 8).toBe(1024 * 10 * affineBitsPerWeight(spec));
    // 100 weights at 3 bits: 38 bytes; a zero point of 3 bits: 1; a scale: 2.
    expect(affineByteLength({ ...spec, groupSize: 'row' }, [100, 7])).toBe(7 * (38 + 1 + 2));
    expect(affineByteLength({ ...spec, groupSize: 64, symmetry: 'symmetric' }, [100, 7])).toBe(7 * (38 + 4));
  });
});

describe('bit streams', () => {
  it('give codes of every width back', () => {
    fc.assert(
      fc.property(fc.constantFrom(...allBits), fc.uint8Array({ maxLength: 70 }), (bits, any) => {
        const codes = any.map((code) => code & ((1 << bits) - 1));
        const packed = new Uint8Array(Math.ceil((codes.length * bits) / 8) + 3).fill(0xaa);
        packCodes(codes, codes.length, bits, packed, 1);
        expect([packed[0], ...packed.slice(-2)]).toEqual([0xaa, 0xaa, 0xaa]);
        // The definition: bit k of code i is bit i * bits + k of the stream.
        for (const [index, code] of codes.entries()) {
          for (let k = 0; k < bits; k++) {
            const at = index * bits + k;
            expect((packed[1 + (at >> 3)] >> (at & 7)) & 1).toBe((code >> k) & 1);
          }
        }
        const back = new Uint8Array(codes.length);
        unpackCodes(packed, 1, codes.length, bits, back);
        expect(back).toEqual(codes);
      }),
      runs,
    );
  });
});

describe('stored scales', () => {
  /** Half floats of the positive half, in order; the last is infinity. */
  const halves = decodeF16(Uint16Array.from({ length: 0x7c01 }, (_, code) => code));

  it('are the next half floats, up or to either side', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 0x7bff }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (code, part) => {
          const below = halves[code];
          const above = code === 0x7bff ? 65_536 : halves[code + 1];
          const value = below + (above - below) * part;
          if (value === 0) return;
          const up = value === below ? below : halves[code + 1];
          expect(coveringScale(value, 'F16')).toBe(up);
          const nearest = value - below < above - value ? below : halves[code + 1];
          if (value - below !== above - value)
            expect(nearestScale(value, 'F16')).toBe(Math.max(2 ** -24, nearest));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('are the next floats up', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-45, max: 1e38, noNaN: true }), (value) => {
        const up = coveringScale(value, 'F32');
        expect(Math.fround(up)).toBe(up);
        expect(up).toBeGreaterThanOrEqual(value);
        const bits = new Uint32Array(Float32Array.of(up).buffer);
        bits[0]--;
        expect(new Float32Array(bits.buffer)[0]).toBeLessThan(value);
      }),
      { numRuns: 2000 },
    );
  });
});
