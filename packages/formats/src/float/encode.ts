/**
 * @file Float32 to small floats: nearest, ties to even. What overflows becomes infinity, or NaN in E4M3, which has no
 * infinity. Rounding adds just under half of the last kept bit, and the kept bit itself to break ties; a carry out of the
 * mantissa runs into the exponent, which is exactly the next code. Mirrors `decode.ts`.
 */
import { checkTarget, float32Bits } from './bits.js';
import { decodeBf16 } from './decode.js';
import { float16, float8E4m3, float8E5m2, type SmallFloat } from './formats.js';
import { lazily } from './lazily.js';

/** Magnitude bits of a float32 infinity; anything above is NaN. */
const INFINITY_BITS = 0x7f800000;
const MAGNITUDE = 0x7fffffff;
/** A shift that leaves nothing of a 24-bit mantissa, rounding included. */
const DROP_ALL = 25;

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
  return encodeBytes(values, target, e4m3Table());
}

/** Float32 to OCP E5M2. Values that round past 57344 become infinity. */
export function encodeF8E5m2(
  values: Float32Array,
  target: Uint8Array = new Uint8Array(values.length),
): Uint8Array {
  return encodeBytes(values, target, e5m2Table());
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

// Built at first use, 64 KB each.
const e4m3Table = lazily(() => byteTable(float8E4m3));
const e5m2Table = lazily(() => byteTable(float8E5m2));

/**
 * Codes by the upper half of a float32, whose last bit also says whether anything of the lower half is set (rounding to
 * odd). Seven mantissa bits with such a mark round to three or fewer exactly as all 23 would.
 */
function byteTable(format: SmallFloat): Uint8Array {
  const upperHalves = Uint16Array.from({ length: 65_536 }, (_, index) => index);
  return narrow(decodeBf16(upperHalves), new Uint8Array(65_536), format);
}

function encodeBytes(values: Float32Array, target: Uint8Array, table: Uint8Array): Uint8Array {
  checkTarget(values.length, target.length);
  const bits = float32Bits(values);
  for (let index = 0; index < bits.length; index++) {
    const x = bits[index];
    target[index] = table[(x >>> 16) | (((x & 0xffff) + 0xffff) >>> 16)];
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
  const smallestNormal = (128 - bias) << 23;
  const firstUnsafe = smallestNormal + (safeExponents(format) << 23);
  const subnormalShift = dropped + 128 - bias;
  for (let index = 0; index < bits.length; index++) {
    const x = bits[index];
    const magnitude = x & MAGNITUDE;
    let code: number;
    if (magnitude < smallestNormal) {
      // The implicit bit becomes an ordinary one, a place further down for each step below the smallest normal exponent.
      const shift = Math.min(subnormalShift - (magnitude >>> 23), DROP_ALL);
      const mantissa = (magnitude & 0x7fffff) | 0x800000;
      code = (mantissa + (1 << (shift - 1)) - 1 + ((mantissa >>> shift) & 1)) >>> shift;
    } else if (magnitude < firstUnsafe) {
      code = (magnitude + rebiasAndRound + ((magnitude >>> dropped) & 1)) >>> dropped;
    } else {
      code = narrowLarge(magnitude, format);
    }
    target[index] = ((x >>> signShift) & signBit) | code;
  }
  return target;
}

/** Exponents from the smallest normal one up for which even a carry gives a finite code or the overflow code. */
function safeExponents({ mantissaBits, largestFinite }: SmallFloat): number {
  return Math.floor((largestFinite + 1) / 2 ** mantissaBits) - 1;
}

/** The largest values, overflow, infinity and NaN. */
function narrowLarge(magnitude: number, { mantissaBits, bias, largestFinite, nan }: SmallFloat): number {
  if (magnitude > INFINITY_BITS) return nan;
  const dropped = 23 - mantissaBits;
  const rebiased = magnitude - ((127 - bias) << 23);
  const code = (rebiased + (1 << (dropped - 1)) - 1 + ((rebiased >>> dropped) & 1)) >>> dropped;
  return Math.min(largestFinite + 1, code);
}

function signedBits(values: Float32Array): Int32Array {
  return new Int32Array(values.buffer, values.byteOffset, values.length);
}
