/**
 * @file Exact sizes. A GGUF file is its header and then every tensor's data, each padded to the alignment; neither the
 * header's length nor the padding rule depends on what the other tensors are, so sizes add up.
 */
import { alignUp, tensorByteLength } from '@bitsmith/formats';
import type { TensorType } from '@bitsmith/formats';

/** The alignment of a GGUF file whose metadata names no other, in bytes. */
export const FILE_ALIGNMENT = 32;

/** Bytes that a tensor takes in the file when stored as `type`, padding included. */
export function storedBytes(
  type: TensorType,
  shape: readonly number[],
  alignment: number = FILE_ALIGNMENT,
): number {
  return alignUp(tensorByteLength(type, shape), alignment);
}

/** Bytes of the finished file. @param headerBytes `layoutGguf(...).header.byteLength` of the metadata to be written */
export function fileBytes(headerBytes: number, tensorBytes: readonly number[]): number {
  return tensorBytes.reduce((sum, bytes) => sum + bytes, headerBytes);
}
