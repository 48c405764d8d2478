/** @file The GGUF container in types: metadata values keep their exact stored type, so reading and writing is lossless. */
import type { TensorType } from './tensor-types.js';

/** UTF-8 text; bytes that are not valid UTF-8 stay bytes, so that nothing is lost on the way through. */
export type GgufString = string | Uint8Array;

export type GgufSmallIntegerType = 'uint8' | 'int8' | 'uint16' | 'int16' | 'uint32' | 'int32';
export type GgufFloatType = 'float32' | 'float64';
export type GgufValueType =
  | GgufSmallIntegerType
  | GgufFloatType
  | 'uint64'
  | 'int64'
  | 'bool'
  | 'string'
  | 'array';

export type GgufScalar =
  | { readonly type: GgufSmallIntegerType | GgufFloatType; readonly value: number }
  | { readonly type: 'uint64' | 'int64'; readonly value: bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: GgufString };

export type GgufNumericArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array
  | Float32Array
  | Float64Array;

export type GgufArray =
  | {
      readonly type: 'array';
      readonly itemType: GgufSmallIntegerType | GgufFloatType | 'uint64' | 'int64';
      readonly value: GgufNumericArray;
    }
  | { readonly type: 'array'; readonly itemType: 'bool'; readonly value: readonly boolean[] }
  | { readonly type: 'array'; readonly itemType: 'string'; readonly value: readonly GgufString[] }
  | { readonly type: 'array'; readonly itemType: 'array'; readonly value: readonly GgufArray[] };

export type GgufValue = GgufScalar | GgufArray;

/** Keys in file order. */
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

/** A tensor as a file describes it. `shape` is in ggml order: `shape[0]` is the row length (the input axis), 1 to 4 axes. */
export interface GgufTensorSpec {
  readonly name: string;
  readonly type: TensorType;
  readonly shape: readonly number[];
}

export interface GgufTensorInfo extends GgufTensorSpec {
  /** Absolute byte offset in the file. */
  readonly offset: number;
  /** Exact bytes of the data, without padding. */
  readonly byteLength: number;
}

export interface GgufFile {
  readonly version: 2 | 3;
  readonly metadata: GgufMetadata;
  readonly tensors: readonly GgufTensorInfo[];
  readonly alignment: number;
  /** Where tensor data begins. */
  readonly dataOffset: number;
  readonly byteLength: number;
}

/** A file about to be written: its header bytes, and where each tensor's data will stand. */
export interface GgufLayout {
  readonly header: Uint8Array;
  readonly tensors: readonly GgufTensorInfo[];
  readonly alignment: number;
  /** Exact bytes of the finished file, padding after the last tensor included (as ggml writes it). */
  readonly byteLength: number;
}
