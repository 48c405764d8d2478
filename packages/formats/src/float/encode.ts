/**
 * @file Float32 to small floats: nearest, ties to even. What overflows becomes infinity, or NaN in E4M3, which has no
 * infinity. Rounding adds just under half of the last kept bit, and the kept bit itself to break ties; a carry out of the
 * mantissa runs into the exponent, which is exactly the next code. Mirrors `decode.ts`.
 */
import { checkTarget, float32Bits } from './bits.js';
import { float16, float8E4m3, float8E5m2, type SmallFloat } from './formats.js';

/** Magnitude bits of a float32 infinity; anything above is NaN. */
const INFINITY_BITS = 0x7f800000;
const MAGNITUDE = 0x7fffffff;

/** Float32 to IEEE half precision. */
export function encodeF16(
  values: Float32Array,
  target: Uint16Array = new Uint16Array(values.length),
): Uint16Array {
  checkTarget(values.length, target.length);
  return narrow(values, target, float16);
}

/** Float32 to OCP E4M3 (`fn`). Values that round past 448, infinities included, become NaN. */
export function encodeF8E4m3(
  values: Float32Array,
  target: Uint8Array = new Uint8Array(values.length),
): Uint8Array {
  checkTarget(values.length, target.length);
  return narrow(values, target, float8E4m3);
}

/** Float32 to OCP E5M2. Values that round past 57344 become infinity. */
export function encodeF8E5m2(
  values: Float32Array,
  target: Uint8Array = new Uint8Array(values.length),
): Uint8Array {
  checkTarget(values.length, target.length);
  return narrow(values, target, float8E5m2);
}

/** Float32 to its upper half, rounded. */
export function encodeBf16(
  values: Float32Array,
  target: Uint16Array = new Uint16Array(values.length),
): Uint16Array {
  checkTarget(values.length, target.length);
  const bits = float32Bits(values);
  for (let index = 0; index < bits.length; index++) {
    const x = bits[index];
    // A NaN keeps its payload and is made quiet: rounding could carry it into infinity.
    if ((x & MAGNITUDE) > INFINITY_BITS) target[index] = (x >>> 16) | 0x40;
    else target[index] = (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
  }
  return target;
}

function narrow<T extends Uint8Array | Uint16Array>(values: Float32Array, target: T, format: SmallFloat): T {
  const { exponentBits, mantissaBits, bias } = format;
  const bits = signedBits(values);
  const signShift = 31 - exponentBits - mantissaBits;
  const signBit = 1 << (exponentBits + mantissaBits);
  const dropped = 23 - mantissaBits;
  const rebiasAndRound = ((bias - 127) << 23) + (1 << (dropped - 1)) - 1;
  // Magnitudes whose result is normal whatever the rounding, as one unsigned comparison.
  const lowest = (128 - bias) << 23;
  const span = (safeExponents(format) << 23) >>> 0;
  for (let index = 0; index < bits.length; index++) {
    const x = bits[index];
    const magnitude = x & MAGNITUDE;
    if ((magnitude - lowest) >>> 0 < span) {
      const code = (magnitude + rebiasAndRound + ((magnitude >>> dropped) & 1)) >>> dropped;
      target[index] = ((x >>> signShift) & signBit) | code;
    } else {
      target[index] = ((x >>> signShift) & signBit) | narrowExtreme(magnitude, format);
    }
  }
  return target;
}

/** Exponents from the smallest normal one up for which even a carry gives a finite code or the overflow code. */
function safeExponents({ mantissaBits, largestFinite }: SmallFloat): number {
  return Math.floor((largestFinite + 1) / 2 ** mantissaBits) - 1;
}

/** Subnormal results, zero, overflow, infinity and NaN. */
function narrowExtreme(magnitude: number, { mantissaBits, bias, largestFinite, nan }: SmallFloat): number {
  if (magnitude > INFINITY_BITS) return nan;
  const dropped = 23 - mantissaBits;
  const exponent = (magnitude >>> 23) - 127 + bias;
  if (exponent >= 1) {
    return Math.min(largestFinite + 1, roundedShift(magnitude - ((127 - bias) << 23), dropped));
  }
  // The implicit bit becomes an ordinary one, a place further down for each step below the smallest normal exponent.
  const shift = dropped + 1 - exponent;
  return shift > 24 ? 0 : roundedShift((magnitude & 0x7fffff) | 0x800000, shift);
}

function roundedShift(value: number, shift: number): number {
  return (value + (1 << (shift - 1)) - 1 + ((value >>> shift) & 1)) >>> shift;
}

function signedBits(values: Float32Array): Int32Array {
  return new Int32Array(values.buffer, values.byteOffset, values.length);
}
