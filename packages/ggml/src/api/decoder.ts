/** @file The engine's decoder of a type. */
import type { TensorType } from '@bitsmith/formats';
import type { AsyncCapable } from '../binding/async.js';
import { toFloatFunction } from '../binding/callbacks.js';
import { ggmlTypes, typeTraitsLayout } from '../binding/layout.js';
import { readPointer } from '../binding/memory.js';
import type { Address } from '../binding/structs.js';
import type { Engine } from './engine.js';
import { misuse } from './validate.js';

/** Whole blocks, what they decode to, and how many weights that is. */
export type Decoder = AsyncCapable<[Uint8Array, Float32Array, number], void>;

const decoders = new Map<TensorType, Decoder>();

/** @throws BitsmithError `TENSOR_TYPE` for F32, and for types without a decoder */
export function decoderOf({ native }: Engine, type: TensorType): Decoder {
  let decoder = decoders.get(type);
  if (decoder === undefined) {
    const traits: Address = native.ggml_get_type_traits(ggmlTypes[type]);
    const address = readPointer(traits + BigInt(typeTraitsLayout.toFloat));
    if (address === null) throw misuse('TENSOR_TYPE', 'a type that decodes to floats', type);
    decoder = toFloatFunction(address);
    decoders.set(type, decoder);
  }
  return decoder;
}
