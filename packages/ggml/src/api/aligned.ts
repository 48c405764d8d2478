/** @file Memory that the engine's kernels read in place. */
import { addressOf } from '../binding/memory.js';
import { assertCount } from './validate.js';

/** What llama.cpp aligns its own weights to. */
export const weightAlignment = 64;

/** A zeroed array whose first byte lies on a multiple of 64, as weights must that a model reads in place. */
export function alignedBytes(byteLength: number): Uint8Array {
  assertCount('byteLength', byteLength, 0, 2 ** 47);
  const buffer = new ArrayBuffer(byteLength + 2 * weightAlignment);
  const misaligned = Number(addressOf(new Uint8Array(buffer)) % BigInt(weightAlignment));
  return new Uint8Array(buffer, (weightAlignment - misaligned) % weightAlignment, byteLength);
}

/** The same for floats. */
export function alignedFloats(length: number): Float32Array {
  const bytes = alignedBytes(4 * length);
  return new Float32Array(bytes.buffer, bytes.byteOffset, length);
}
