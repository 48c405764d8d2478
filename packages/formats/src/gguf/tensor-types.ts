/**
 * @file Every tensor type of ggml as one table: its number in a GGUF file and its exact block geometry (`ggml-common.h`
 * of ggml as shipped with llama.cpp v0.4.0). Numbers missing from the table were removed from the format.
 */
import { BitsmithError } from '../errors.js';

interface TensorTypeTraits {
  /** The number that stands for the type in a file. */
  readonly id: number;
  /** Weights in one block. A row must hold a whole number of blocks. */
  readonly blockSize: number;
  /** Bytes of one block. */
  readonly blockBytes: number;
}

export const tensorTypes = {
  F32: { id: 0, blockSize: 1, blockBytes: 4 },
  F16: { id: 1, blockSize: 1, blockBytes: 2 },
  Q4_0: { id: 2, blockSize: 32, blockBytes: 18 },
  Q4_1: { id: 3, blockSize: 32, blockBytes: 20 },
  Q5_0: { id: 6, blockSize: 32, blockBytes: 22 },
  Q5_1: { id: 7, blockSize: 32, blockBytes: 24 },
  Q8_0: { id: 8, blockSize: 32, blockBytes: 34 },
  Q8_1: { id: 9, blockSize: 32, blockBytes: 36 },
  Q2_K: { id: 10, blockSize: 256, blockBytes: 84 },
  Q3_K: { id: 11, blockSize: 256, blockBytes: 110 },
  Q4_K: { id: 12, blockSize: 256, blockBytes: 144 },
  Q5_K: { id: 13, blockSize: 256, blockBytes: 176 },
  Q6_K: { id: 14, blockSize: 256, blockBytes: 210 },
  Q8_K: { id: 15, blockSize: 256, blockBytes: 292 },
  IQ2_XXS: { id: 16, blockSize: 256, blockBytes: 66 },
  IQ2_XS: { id: 17, blockSize: 256, blockBytes: 74 },
  IQ3_XXS: { id: 18, blockSize: 256, blockBytes: 98 },
  IQ1_S: { id: 19, blockSize: 256, blockBytes: 50 },
  IQ4_NL: { id: 20, blockSize: 32, blockBytes: 18 },
  IQ3_S: { id: 21, blockSize: 256, blockBytes: 110 },
  IQ2_S: { id: 22, blockSize: 256, blockBytes: 82 },
  IQ4_XS: { id: 23, blockSize: 256, blockBytes: 136 },
  I8: { id: 24, blockSize: 1, blockBytes: 1 },
  I16: { id: 25, blockSize: 1, blockBytes: 2 },
  I32: { id: 26, blockSize: 1, blockBytes: 4 },
  I64: { id: 27, blockSize: 1, blockBytes: 8 },
  F64: { id: 28, blockSize: 1, blockBytes: 8 },
  IQ1_M: { id: 29, blockSize: 256, blockBytes: 56 },
  BF16: { id: 30, blockSize: 1, blockBytes: 2 },
  TQ1_0: { id: 34, blockSize: 256, blockBytes: 54 },
  TQ2_0: { id: 35, blockSize: 256, blockBytes: 66 },
  MXFP4: { id: 39, blockSize: 32, blockBytes: 17 },
  NVFP4: { id: 40, blockSize: 64, blockBytes: 36 },
  Q1_0: { id: 41, blockSize: 128, blockBytes: 18 },
  Q2_0: { id: 42, blockSize: 64, blockBytes: 18 },
} as const satisfies Record<string, TensorTypeTraits>;

export type TensorType = keyof typeof tensorTypes;

/** All names, in the order of their numbers. */
export const tensorTypeNames = Object.keys(tensorTypes) as readonly TensorType[];

const namesById: ReadonlyMap<number, TensorType> = new Map(
  tensorTypeNames.map((name) => [tensorTypes[name].id, name]),
);

/** The type behind a file's number, or `undefined` when ggml has no such type (any more). */
export function tensorTypeById(id: number): TensorType | undefined {
  return namesById.get(id);
}

export function isTensorType(name: string): name is TensorType {
  return Object.hasOwn(tensorTypes, name);
}

/** Weights a tensor holds. May be unsafe above 2^53: check with `Number.isSafeInteger`. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const extent of shape) count *= extent;
  return count;
}

/**
 * Exact bytes of a tensor's data. `shape[0]` is the row length.
 * @throws BitsmithError `TENSOR_SHAPE` when an extent is not a whole number, a row is not a whole number of blocks, or the
 * size passes 2^53 bytes.
 */
export function tensorByteLength(type: TensorType, shape: readonly number[]): number {
  const { blockSize, blockBytes } = tensorTypes[type];
  const rowLength = shape.length === 0 ? 1 : shape[0];
  if (!shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0)) {
    throw shapeError(type, shape, 'axes of whole, non-negative lengths');
  }
  if (rowLength % blockSize !== 0) {
    throw shapeError(type, shape, `rows of a multiple of ${blockSize} weights for ${type}`);
  }
  const elements = elementCount(shape);
  const byteLength = (elements / blockSize) * blockBytes;
  if (!Number.isSafeInteger(elements) || !Number.isSafeInteger(byteLength)) {
    throw shapeError(type, shape, 'fewer than 2^53 weights and bytes');
  }
  return byteLength;
}

/** Bits that one weight costs in the file, block scales included. */
export function bitsPerWeight(type: TensorType): number {
  const { blockSize, blockBytes } = tensorTypes[type];
  return (blockBytes * 8) / blockSize;
}

function shapeError(type: TensorType, shape: readonly number[], expected: string): BitsmithError {
  const found = `${type} with shape [${shape.join(', ')}]`;
  return new BitsmithError('validation', 'TENSOR_SHAPE', `expected ${expected}, found ${found}`, {
    expected,
    found,
    suggestion: 'Choose a type whose block size divides the row length.',
  });
}
