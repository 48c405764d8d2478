/**
 * @file Exact sizes. A GGUF file is its header and then every tensor's data, each padded to the alignment; neither the
 * header's length nor the padding rule depends on what the other tensors are, so sizes add up.
 */
import { affineByteLength, alignUp, tensorByteLength } from '@bitsmith/formats';
import type { TensorType } from '@bitsmith/formats';
import { affineSpec } from './affine-schemes.js';
import type { StorageType } from './schemes.js';

/** The alignment of a GGUF file whose metadata names no other, in bytes. */
export const FILE_ALIGNMENT = 32;

/** Bytes of a tensor's data when stored as `type`. `shape[0]` is the row length. */
export function schemeByteLength(type: StorageType, shape: readonly number[]): number {
  const spec = affineSpec(type);
  return spec === undefined ? tensorByteLength(type as TensorType, shape) : affineByteLength(spec, shape);
}

/**
 * Bytes that a tensor takes in the file when stored as `type`, padding included. What GGUF cannot hold is padded as GGUF pads, so
 * that plans of all schemes compare.
 */
export function storedBytes(
  type: StorageType,
  shape: readonly number[],
  alignment: number = FILE_ALIGNMENT,
): number {
  return alignUp(schemeByteLength(type, shape), alignment);
}

/** Bytes of the finished file. @param headerBytes `layoutGguf(...).header.byteLength` of the metadata to be written */
export function fileBytes(headerBytes: number, tensorBytes: readonly number[]): number {
  return tensorBytes.reduce((sum, bytes) => sum + bytes, headerBytes);
}

/** Bytes of the smallest and of the largest candidates together. */
export function bytesRange(
  choices: readonly { readonly candidates: readonly { readonly bytes: number }[] }[],
): readonly [smallest: number, largest: number] {
  let smallest = 0;
  let largest = 0;
  for (const { candidates } of choices) {
    const bytes = candidates.map((candidate) => candidate.bytes);
    smallest += Math.min(...bytes);
    largest += Math.max(...bytes);
  }
  return [smallest, largest];
}
