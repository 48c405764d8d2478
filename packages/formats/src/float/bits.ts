import { BitsmithError } from '../errors.js';

/** The same memory as unsigned integers. */
export function float32Bits(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

/** @throws BitsmithError `TARGET_TOO_SMALL`. */
export function checkTarget(needed: number, available: number): void {
  if (available >= needed) return;
  throw new BitsmithError(
    'arguments',
    'TARGET_TOO_SMALL',
    `expected a target of ${needed} values, found ${available}`,
    {
      expected: `${needed} values`,
      found: `${available} values`,
      suggestion: 'Pass a larger target, or none.',
    },
  );
}
