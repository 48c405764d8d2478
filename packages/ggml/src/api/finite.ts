/** @file Finding NaN and infinity in weights: fast in native code, and by position when something was found. */
import type { TensorType } from '@bitsmith/formats';
import { callAsync } from '../binding/async.js';
import { ggmlTypes } from '../binding/layout.js';
import type { Engine } from './engine.js';
import { encodedByteLength, misuse, assertWeightType } from './validate.js';

/**
 * Whether bytes of a type hold only finite values; for quantized types, whether every scale is finite.
 * @param bytes whole blocks of `type`
 */
export async function checkFinite(
  engine: Engine,
  type: TensorType,
  bytes: Uint8Array | Float32Array | Uint16Array,
  options: { signal?: AbortSignal } = {},
): Promise<boolean> {
  options.signal?.throwIfAborted();
  assertWeightType(type);
  if (bytes.byteLength === 0) return true;
  const blockBytes = engine.native.ggml_type_size(ggmlTypes[type]);
  if (bytes.byteLength % blockBytes !== 0) {
    throw misuse(
      'BUFFER_SIZE',
      `whole blocks of ${blockBytes} bytes for ${type}`,
      `${bytes.byteLength} bytes`,
    );
  }
  return callAsync(engine.native.ggml_validate_row_data, ggmlTypes[type], bytes, bytes.byteLength);
}

/** Index of the first value that is NaN or infinite, or -1. `bits` are the raw 16-bit codes of F16 and BF16. */
export function findNonFinite(type: 'F32' | 'F16' | 'BF16', bytes: Uint8Array): number {
  encodedByteLength(type, 1, Math.max(1, bytes.byteLength / (type === 'F32' ? 4 : 2)));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (type === 'F32') {
    for (let i = 0; i < bytes.byteLength; i += 4) {
      if ((view.getUint32(i, true) & 0x7f800000) === 0x7f800000) return i / 4;
    }
    return -1;
  }
  const exponent = type === 'F16' ? 0x7c00 : 0x7f80;
  for (let i = 0; i < bytes.byteLength; i += 2) {
    if ((view.getUint16(i, true) & exponent) === exponent) return i / 2;
  }
  return -1;
}
