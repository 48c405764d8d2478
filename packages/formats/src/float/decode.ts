/**
 * @file Small floats to float32, exactly, by table. Tables hold bits rather than numbers, so that NaN payloads survive.
 * Every function fills `target` (made when left out, at least as long as the codes) and returns it.
 */
import { float16, float8E4m3, float8E5m2, type SmallFloat } from './formats.js';
import { lazily } from './lazily.js';
import { checkTarget, float32Bits } from './bits.js';

/** IEEE half precision to float32. */
export function decodeF16(
  codes: Uint16Array,
  target: Float32Array = new Float32Array(codes.length),
): Float32Array {
  const bits = targetBits(codes.length, target);
  const table = float16Table();
  for (let index = 0; index < codes.length; index++) bits[index] = table[codes[index]];
  return target;
}

/** The upper half of a float32, back to float32. */
export function decodeBf16(
  codes: Uint16Array,
  target: Float32Array = new Float32Array(codes.length),
): Float32Array {
  const bits = targetBits(codes.length, target);
  for (let index = 0; index < codes.length; index++) bits[index] = codes[index] << 16;
  return target;
}

/** OCP E4M3 (`fn`) to float32. */
export function decodeF8E4m3(
  codes: Uint8Array,
  target: Float32Array = new Float32Array(codes.length),
): Float32Array {
  return decodeBytes(codes, target, e4m3Table());
}

/** OCP E5M2 to float32. */
export function decodeF8E5m2(
  codes: Uint8Array,
  target: Float32Array = new Float32Array(codes.length),
): Float32Array {
  return decodeBytes(codes, target, e5m2Table());
}

// Built at first use: F16 takes 256 KB and about a millisecond.
const float16Table = lazily(() => float32Table(float16));
const e4m3Table = lazily(() => float32Table(float8E4m3));
const e5m2Table = lazily(() => float32Table(float8E5m2));

function decodeBytes(codes: Uint8Array, target: Float32Array, table: Uint32Array): Float32Array {
  const bits = targetBits(codes.length, target);
  for (let index = 0; index < codes.length; index++) bits[index] = table[codes[index]];
  return target;
}

/** Float32 bits of every code. */
function float32Table(format: SmallFloat): Uint32Array {
  const { exponentBits, mantissaBits, bias, largestFinite } = format;
  const codes = 2 ** (exponentBits + mantissaBits);
  const mantissas = 2 ** mantissaBits;
  const bits = new Uint32Array(2 * codes);
  const values = new Float32Array(bits.buffer);
  for (let code = 0; code < codes; code++) {
    const exponent = Math.floor(code / mantissas);
    const fraction = (code % mantissas) / mantissas;
    if (code <= largestFinite) {
      values[code] = (exponent === 0 ? fraction : 1 + fraction) * 2 ** (Math.max(exponent, 1) - bias);
    } else {
      // Infinity and NaN: all exponent bits, the payload at the top of the mantissa.
      bits[code] = 0x7f800000 + fraction * 2 ** 23;
    }
    bits[code + codes] = bits[code] + 2 ** 31;
  }
  return bits;
}

function targetBits(length: number, target: Float32Array): Uint32Array {
  checkTarget(length, target.length);
  return float32Bits(target);
}
