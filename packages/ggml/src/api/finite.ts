/** @file Finding NaN and infinity in weights: fast in native code, and by position when something was found. */
import type { TensorType } from '@bitsmith/formats';
import { callAsync } from '../binding/async.js';
import { ggmlTypes } from '../binding/layout.js';
import type { Engine } from './engine.js';
import { assertWeightType, misuse } from './validate.js';

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

/**
 * Index of the first value that is NaN or infinite; null when there is none, and for quantized types, whose values have no
 * single place.
 */
export function findNonFinite(type: TensorType, bytes: Uint8Array): number | null {
  switch (type) {
    case 'F32':
      return firstWithExponent(bytes, 4, 0x7f800000);
    case 'F16':
      return firstWithExponent(bytes, 2, 0x7c00);
    case 'BF16':
      return firstWithExponent(bytes, 2, 0x7f80);
    default:
      return null;
  }
}

/** A float is NaN or infinite exactly when all bits of its exponent are set. */
function firstWithExponent(bytes: Uint8Array, width: 2 | 4, exponent: number): number | null {
  if (bytes.byteLength % width !== 0) {
    throw misuse('BUFFER_SIZE', `whole values of ${width} bytes`, `${bytes.byteLength} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let offset = 0; offset < bytes.byteLength; offset += width) {
    const bits = width === 4 ? view.getUint32(offset, true) : view.getUint16(offset, true);
    if ((bits & exponent) === exponent) return offset / width;
  }
  return null;
}
