/** @file Float tensors as they stand in files, to and from float32. Little-endian, as every container here. */
import { BitsmithError } from '../errors.js';
import { checkTarget } from './bits.js';
import { decodeBf16, decodeF16, decodeF8E4m3, decodeF8E5m2 } from './decode.js';
import { encodeBf16, encodeF16, encodeF8E4m3, encodeF8E5m2 } from './encode.js';

/** Bytes of one value. The names are those of safetensors and, where it has the type, GGUF. */
export const floatDtypes = { F64: 8, F32: 4, F16: 2, BF16: 2, F8_E4M3: 1, F8_E5M2: 1 } as const;

export type FloatDtype = keyof typeof floatDtypes;

export function isFloatDtype(name: string): name is FloatDtype {
  return Object.hasOwn(floatDtypes, name);
}

/**
 * Decodes stored values. All but F64 are exact; F64 is rounded to the nearest float32.
 * @param bytes a whole number of values, at any alignment.
 * @param target at least as many values; made when left out.
 * @throws BitsmithError `FLOAT_BYTES`, `TARGET_TOO_SMALL`.
 */
export function decodeFloats(dtype: FloatDtype, bytes: Uint8Array, target?: Float32Array): Float32Array {
  const width = floatDtypes[dtype];
  const count = bytes.byteLength / width;
  if (!Number.isInteger(count)) {
    throw new BitsmithError(
      'arguments',
      'FLOAT_BYTES',
      `${bytes.byteLength} bytes are no whole number of ${dtype}`,
      {
        expected: `a multiple of ${width} bytes`,
        found: `${bytes.byteLength} bytes`,
        suggestion: 'Pass whole values.',
      },
    );
  }
  const values = target ?? new Float32Array(count);
  checkTarget(count, values.length);
  const { buffer, byteOffset } = bytes.byteOffset % width === 0 ? bytes : bytes.slice();
  switch (dtype) {
    case 'F64':
      values.set(new Float64Array(buffer, byteOffset, count));
      return values;
    case 'F32':
      values.set(new Float32Array(buffer, byteOffset, count));
      return values;
    case 'F16':
      return decodeF16(new Uint16Array(buffer, byteOffset, count), values);
    case 'BF16':
      return decodeBf16(new Uint16Array(buffer, byteOffset, count), values);
    case 'F8_E4M3':
      return decodeF8E4m3(new Uint8Array(buffer, byteOffset, count), values);
    case 'F8_E5M2':
      return decodeF8E5m2(new Uint8Array(buffer, byteOffset, count), values);
    default:
      return dtype satisfies never;
  }
}

/** Encodes values for storage: nearest, ties to even. */
export function encodeFloats(dtype: FloatDtype, values: Float32Array): Uint8Array {
  const encoded = encodeTyped(dtype, values);
  return new Uint8Array(encoded.buffer, encoded.byteOffset, encoded.byteLength);
}

function encodeTyped(
  dtype: FloatDtype,
  values: Float32Array,
): Float64Array | Float32Array | Uint16Array | Uint8Array {
  switch (dtype) {
    case 'F64':
      return Float64Array.from(values);
    case 'F32':
      return values.slice();
    case 'F16':
      return encodeF16(values);
    case 'BF16':
      return encodeBf16(values);
    case 'F8_E4M3':
      return encodeF8E4m3(values);
    case 'F8_E5M2':
      return encodeF8E5m2(values);
    default:
      return dtype satisfies never;
  }
}
