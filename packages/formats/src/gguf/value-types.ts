/** @file The metadata types of the GGUF specification and their numbers in a file. */
import type { GgufFloatType, GgufNumericArray, GgufSmallIntegerType, GgufValueType } from './types.js';

export const valueTypeIds = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12,
} as const satisfies Record<GgufValueType, number>;

const valueTypesById: readonly GgufValueType[] = Object.entries(valueTypeIds)
  .sort((a, b) => a[1] - b[1])
  .map(([name]) => name as GgufValueType);

export function valueTypeById(id: number): GgufValueType | undefined {
  return valueTypesById[id];
}

export type GgufNumericType = GgufSmallIntegerType | GgufFloatType | 'uint64' | 'int64';

interface NumericArrayConstructor {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): GgufNumericArray;
}

export const numericArrays = {
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  uint32: Uint32Array,
  int32: Int32Array,
  uint64: BigUint64Array,
  int64: BigInt64Array,
  float32: Float32Array,
  float64: Float64Array,
} as const satisfies Record<GgufNumericType, NumericArrayConstructor>;

/** Least bytes that one value of a type takes in a file: what a count is held against before allocation. */
export const minimumValueBytes = {
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  bool: 1,
  string: 8,
  array: 12,
  uint64: 8,
  int64: 8,
  float64: 8,
} as const satisfies Record<GgufValueType, number>;
