/** @file The element types of the safetensors specification. */

/** Bytes of one element. The order is the specification's, by which its own writer sorts tensors (widest first). */
export const safetensorsDtypes = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
} as const;

export type SafetensorsDtype = keyof typeof safetensorsDtypes;

export const safetensorsDtypeNames = Object.keys(safetensorsDtypes) as readonly SafetensorsDtype[];

export function isSafetensorsDtype(name: unknown): name is SafetensorsDtype {
  return typeof name === 'string' && Object.hasOwn(safetensorsDtypes, name);
}
