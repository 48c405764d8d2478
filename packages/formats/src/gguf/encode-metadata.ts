/** @file Encodes GGUF key-value pairs, byte for byte as ggml does. Mirrors `read-metadata.ts`. */
import type { ByteWriter } from '../io/byte-writer.js';
import { encodeUtf8 } from '../text/utf8.js';
import { ggufError } from './fail.js';
import { MAX_ARRAY_DEPTH, MAX_KEY_BYTES } from './limits.js';
import type { GgufArray, GgufMetadata, GgufNumericArray, GgufValue } from './types.js';
import { numericArrays, valueTypeIds } from './value-types.js';
import { quote } from '../text/quote.js';

export function encodeMetadata(writer: ByteWriter, metadata: GgufMetadata): void {
  for (const [key, value] of metadata) {
    const keyBytes = encodeUtf8(key, `the key ${quote(key)}`);
    if (keyBytes.byteLength === 0 || keyBytes.byteLength > MAX_KEY_BYTES) {
      throw ggufError('GGUF_KEY', `a key is ${keyBytes.byteLength} bytes long`, {
        expected: `1 to ${MAX_KEY_BYTES} bytes`,
        suggestion: 'Use a shorter, non-empty key.',
      });
    }
    writer.lengthPrefixed(keyBytes, key);
    writer.uint32(valueTypeIds[value.type]);
    encodeValue(writer, value, key);
  }
}

function encodeValue(writer: ByteWriter, value: GgufValue, key: string): void {
  switch (value.type) {
    case 'uint8':
    case 'int8':
    case 'uint16':
    case 'int16':
    case 'uint32':
    case 'int32':
      return encodeInteger(writer, value.type, value.value, key);
    case 'float32':
      return writer.float32(value.value);
    case 'float64':
      return writer.float64(value.value);
    case 'uint64':
    case 'int64':
      return encodeBigInteger(writer, value.type, value.value, key);
    case 'bool':
      return writer.uint8(value.value ? 1 : 0);
    case 'string':
      return writer.lengthPrefixed(value.value, `the value of ${key}`);
    case 'array':
      return encodeArray(writer, value, key, 1);
    default:
      return value satisfies never;
  }
}

function encodeArray(writer: ByteWriter, array: GgufArray, key: string, depth: number): void {
  if (depth > MAX_ARRAY_DEPTH) {
    throw ggufError('GGUF_NESTING', `key ${quote(key)} nests arrays deeper than ${MAX_ARRAY_DEPTH}`);
  }
  writer.uint32(valueTypeIds[array.itemType]);
  writer.count64(array.value.length);
  switch (array.itemType) {
    case 'string':
      for (const item of array.value) writer.lengthPrefixed(item, `an item of ${key}`);
      return;
    case 'bool':
      for (const item of array.value) writer.uint8(item ? 1 : 0);
      return;
    case 'array':
      for (const item of array.value) encodeArray(writer, item, key, depth + 1);
      return;
    default:
      if (!(array.value instanceof numericArrays[array.itemType])) {
        throw ggufError('GGUF_VALUE', `key ${quote(key)} declares ${array.itemType} items`, {
          expected: numericArrays[array.itemType].name,
          found: (array.value as GgufNumericArray).constructor.name,
          suggestion: 'Pass the typed array that matches the item type.',
        });
      }
      writer.raw(new Uint8Array(array.value.buffer, array.value.byteOffset, array.value.byteLength));
  }
}

const integerBits = { uint8: 8, int8: 8, uint16: 16, int16: 16, uint32: 32, int32: 32 } as const;

function encodeInteger(writer: ByteWriter, type: keyof typeof integerBits, value: number, key: string): void {
  const bits = integerBits[type];
  const signed = type.startsWith('i');
  const least = signed ? -(2 ** (bits - 1)) : 0;
  const most = signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  if (!Number.isInteger(value) || value < least || value > most) {
    throw rangeError(key, type, value, `a whole number from ${least} to ${most}`);
  }
  if (bits === 8) writer.uint8(value);
  else if (bits === 16) writer.uint16(value);
  else writer.uint32(value);
}

function encodeBigInteger(writer: ByteWriter, type: 'uint64' | 'int64', value: bigint, key: string): void {
  const fits = type === 'uint64' ? BigInt.asUintN(64, value) === value : BigInt.asIntN(64, value) === value;
  if (!fits) throw rangeError(key, type, value, `a value that fits ${type}`);
  writer.bigUint64(BigInt.asUintN(64, value));
}

function rangeError(key: string, type: string, value: number | bigint, expected: string): Error {
  return ggufError('GGUF_VALUE', `the value ${value} of key ${quote(key)} does not fit ${type}`, {
    expected,
    found: String(value),
    suggestion: 'Choose a wider type, or correct the value.',
  });
}
