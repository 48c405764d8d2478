/** @file Constructors of GGUF metadata values. */
import type { GgufArray, GgufScalar, GgufString } from './types.js';

export const ggufUint8 = (value: number): GgufScalar => ({ type: 'uint8', value });
export const ggufInt8 = (value: number): GgufScalar => ({ type: 'int8', value });
export const ggufUint16 = (value: number): GgufScalar => ({ type: 'uint16', value });
export const ggufInt16 = (value: number): GgufScalar => ({ type: 'int16', value });
export const ggufUint32 = (value: number): GgufScalar => ({ type: 'uint32', value });
export const ggufInt32 = (value: number): GgufScalar => ({ type: 'int32', value });
export const ggufUint64 = (value: number | bigint): GgufScalar => ({ type: 'uint64', value: BigInt(value) });
export const ggufInt64 = (value: number | bigint): GgufScalar => ({ type: 'int64', value: BigInt(value) });
/** Rounded to float32 here, so that the value equals what a reader will find. */
export const ggufFloat32 = (value: number): GgufScalar => ({ type: 'float32', value: Math.fround(value) });
export const ggufFloat64 = (value: number): GgufScalar => ({ type: 'float64', value });
export const ggufBool = (value: boolean): GgufScalar => ({ type: 'bool', value });
export const ggufString = (value: GgufString): GgufScalar => ({ type: 'string', value });

export const ggufStringArray = (value: readonly GgufString[]): GgufArray => ({
  type: 'array',
  itemType: 'string',
  value,
});
export const ggufBoolArray = (value: readonly boolean[]): GgufArray => ({
  type: 'array',
  itemType: 'bool',
  value,
});
export const ggufUint8Array = (value: Iterable<number>): GgufArray => ({
  type: 'array',
  itemType: 'uint8',
  value: Uint8Array.from(value),
});
export const ggufInt32Array = (value: Iterable<number>): GgufArray => ({
  type: 'array',
  itemType: 'int32',
  value: Int32Array.from(value),
});
export const ggufUint32Array = (value: Iterable<number>): GgufArray => ({
  type: 'array',
  itemType: 'uint32',
  value: Uint32Array.from(value),
});
export const ggufFloat32Array = (value: Iterable<number>): GgufArray => ({
  type: 'array',
  itemType: 'float32',
  value: Float32Array.from(value),
});
