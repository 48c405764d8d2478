import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeBf16,
  decodeF16,
  decodeF8E4m3,
  decodeF8E5m2,
  decodeFloats,
  encodeBf16,
  encodeF16,
  encodeF8E4m3,
  encodeF8E5m2,
  encodeFloats,
  floatDtypes,
  type FloatDtype,
} from '../../src/index.js';
import { expectFailure } from '../support/errors.js';
import { goldenJson } from '../support/golden.js';

interface Format {
  readonly bits: 8 | 16;
  /** The code that golden hashes count for every NaN. */
  readonly nan: number;
  decode(codes: number[]): Float32Array;
  encode(values: Float32Array): Uint8Array | Uint16Array;
  /** Independent of tables and bit tricks: the definition of the format. */
  readonly definition: { exponentBits: number; mantissaBits: number; bias: number; infinities: boolean };
}

const formats: Record<string, Format> = {
  f16: {
    bits: 16,
    nan: 0x7e00,
    decode: (codes) => decodeF16(Uint16Array.from(codes)),
    encode: (values) => encodeF16(values),
    definition: { exponentBits: 5, mantissaBits: 10, bias: 15, infinities: true },
  },
  bf16: {
    bits: 16,
    nan: 0x7fc0,
    decode: (codes) => decodeBf16(Uint16Array.from(codes)),
    encode: (values) => encodeBf16(values),
    definition: { exponentBits: 8, mantissaBits: 7, bias: 127, infinities: true },
  },
  f8_e4m3: {
    bits: 8,
    nan: 0x7f,
    decode: (codes) => decodeF8E4m3(Uint8Array.from(codes)),
    encode: (values) => encodeF8E4m3(values),
    definition: { exponentBits: 4, mantissaBits: 3, bias: 7, infinities: false },
  },
  f8_e5m2: {
    bits: 8,
    nan: 0x7e,
    decode: (codes) => decodeF8E5m2(Uint8Array.from(codes)),
    encode: (values) => encodeF8E5m2(values),
    definition: { exponentBits: 5, mantissaBits: 2, bias: 15, infinities: true },
  },
};
const names = Object.keys(formats);

type Golden = { low: number[] } & Record<string, { decoded: string; encoded: string }>;

function everyCode(bits: number): number[] {
  return Array.from({ length: 2 ** bits }, (_, code) => code);
}

function sha256(array: Uint32Array | Uint16Array | Uint8Array): string {
  return createHash('sha256')
    .update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
    .digest('hex');
}

/** The value of a code, from the definition of its format. */
function defined(
  code: number,
  { exponentBits, mantissaBits, bias, infinities }: Format['definition'],
): number {
  const sign = Math.floor(code / 2 ** (exponentBits + mantissaBits)) === 1 ? -1 : 1;
  const exponent = Math.floor(code / 2 ** mantissaBits) % 2 ** exponentBits;
  const mantissa = code % 2 ** mantissaBits;
  const top = exponent === 2 ** exponentBits - 1;
  if (top && infinities) return mantissa === 0 ? sign * Infinity : NaN;
  if (top && mantissa === 2 ** mantissaBits - 1) return NaN;
  if (exponent === 0) return sign * mantissa * 2 ** (1 - bias - mantissaBits);
  return sign * (2 ** mantissaBits + mantissa) * 2 ** (exponent - bias - mantissaBits);
}

describe.each(names)('%s', (name) => {
  const format = formats[name];
  const golden = goldenJson<Golden>('floats.json');

  it('decodes every code to its defined value', () => {
    const values = format.decode(everyCode(format.bits));
    const wrong = everyCode(format.bits).filter(
      (code) => !Object.is(values[code], defined(code, format.definition)),
    );
    expect(wrong).toEqual([]);
  });

  it('decodes every code as NumPy and ml_dtypes do', () => {
    const values = format.decode(everyCode(format.bits));
    const bits = new Uint32Array(values.buffer).map((word, index) =>
      Number.isNaN(values[index]) ? 0x7fc00000 : word,
    );
    expect(sha256(bits)).toBe(golden[name].decoded);
  });

  it('encodes 851,968 values around every rounding boundary as NumPy and ml_dtypes do', () => {
    const words = new Uint32Array(65_536 * golden.low.length);
    for (let high = 0; high < 65_536; high++) {
      golden.low.forEach((low, index) => (words[high * golden.low.length + index] = high * 65_536 + low));
    }
    const values = new Float32Array(words.buffer);
    const codes = format
      .encode(values)
      .map((code, index) => (Number.isNaN(values[index]) ? format.nan : code));
    expect(sha256(codes)).toBe(golden[name].encoded);
  });

  it('gives every code back', () => {
    const codes = everyCode(format.bits);
    const values = format.decode(codes);
    const again = format.encode(values);
    expect(codes.filter((code) => !Number.isNaN(values[code]) && again[code] !== code)).toEqual([]);
    const back = format.decode([...again]);
    expect(codes.filter((code) => Number.isNaN(values[code]) !== Number.isNaN(back[code]))).toEqual([]);
  });

  it('encodes any value to the nearest, the even one of two', () => {
    const finite = everyCode(format.bits - 1).filter((code) =>
      Number.isFinite(defined(code, format.definition)),
    );
    const ladder = finite.map((code) => defined(code, format.definition));
    const largest = ladder[ladder.length - 1];
    fc.assert(
      fc.property(
        fc.float({ noNaN: true, min: Math.fround(-largest), max: Math.fround(largest) }),
        (value) => {
          const [code] = format.encode(Float32Array.of(value));
          const magnitude = Math.abs(value);
          const above = lowestNotBelow(ladder, magnitude);
          const below = Math.max(0, above - 1);
          const up = ladder[above] - magnitude;
          const down = magnitude - ladder[below];
          let nearest = up < down ? above : below;
          if (up === down) nearest = above % 2 === 0 ? above : below;
          if (ladder[above] === magnitude) nearest = above;
          const signBit = value < 0 || Object.is(value, -0) ? 2 ** (format.bits - 1) : 0;
          expect(code).toBe(nearest + signBit);
        },
      ),
      { numRuns: 3000, seed: 5 },
    );
  });
});

function lowestNotBelow(ladder: readonly number[], value: number): number {
  let low = 0;
  let high = ladder.length - 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (ladder[middle] >= value) high = middle;
    else low = middle + 1;
  }
  return low;
}

describe('overflow', () => {
  const cases: [string, number, number][] = [
    ['f16', 65_519, 0x7bff],
    ['f16', 65_520, 0x7c00],
    ['f16', -1e9, 0xfc00],
    ['bf16', 3.4e38, 0x7f80],
    ['f8_e5m2', 61_439, 0x7b],
    ['f8_e5m2', 61_440, 0x7c],
    ['f8_e5m2', -Infinity, 0xfc],
    ['f8_e4m3', 464, 0x7e],
    ['f8_e4m3', 464.1, 0x7f],
    ['f8_e4m3', 500, 0x7f],
    ['f8_e4m3', -Infinity, 0xff],
    ['f8_e4m3', 1e30, 0x7f],
  ];
  it.each(cases)('%s encodes %d as 0x%s', (name, value, code) => {
    expect(formats[name].encode(Float32Array.of(value))[0]).toBe(code);
  });
});

describe('float bytes', () => {
  const values = Float32Array.of(0, -1, 0.5, 3);

  it.each(Object.keys(floatDtypes) as FloatDtype[])('%s round-trip, also at odd offsets', (dtype) => {
    const bytes = encodeFloats(dtype, values);
    expect(bytes.byteLength).toBe(4 * floatDtypes[dtype]);
    expect(decodeFloats(dtype, bytes)).toEqual(values);
    const shifted = new Uint8Array(bytes.byteLength + 1);
    shifted.set(bytes, 1);
    expect(decodeFloats(dtype, shifted.subarray(1))).toEqual(values);
    const target = new Float32Array(new SharedArrayBuffer(24));
    decodeFloats(dtype, bytes, target);
    expect([...target]).toEqual([...values, 0, 0]);
  });

  it('refuse broken values and small targets', async () => {
    await expectFailure(() => decodeFloats('F16', new Uint8Array(3)), 'arguments', 'FLOAT_BYTES');
    await expectFailure(
      () => decodeFloats('F32', new Uint8Array(8), new Float32Array(1)),
      'arguments',
      'TARGET_TOO_SMALL',
    );
    await expectFailure(
      () => encodeF16(new Float32Array(2), new Uint16Array(1)),
      'arguments',
      'TARGET_TOO_SMALL',
    );
  });
});
