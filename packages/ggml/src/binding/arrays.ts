/** @file Arrays of native structs, written by hand at the offsets that `layout.ts` fixes, with all that they point to. */
import { structSizes } from './layout.js';
import { addressOf } from './memory.js';
import type { Address } from './structs.js';

/** Native memory with everything it refers to; `keep` must stay referenced while native code uses `address`. */
export interface NativeArray {
  readonly address: Address;
  readonly keep: readonly unknown[];
}

/** NUL-terminated UTF-8, in memory that does not move. */
function cString(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'utf8');
  const buffer = new Uint8Array(new ArrayBuffer(Math.max(128, bytes.byteLength + 1)));
  buffer.set(bytes);
  return buffer;
}

function zeroed(byteLength: number): DataView {
  return new DataView(new ArrayBuffer(Math.max(128, byteLength)));
}

/** `llama_model_imatrix_data[]`, ended by an entry without a name. */
export function imatrixArray(entries: ReadonlyMap<string, Float32Array>): NativeArray {
  const size = structSizes.llama_model_imatrix_data;
  const table = zeroed((entries.size + 1) * size);
  const keep: unknown[] = [table];
  let offset = 0;
  for (const [name, weights] of entries) {
    const text = cString(name);
    table.setBigUint64(offset, addressOf(text), true);
    table.setBigUint64(offset + 8, addressOf(weights), true);
    table.setBigUint64(offset + 16, BigInt(weights.length), true);
    keep.push(text, weights);
    offset += size;
  }
  return { address: addressOf(table), keep };
}

/** `llama_model_tensor_override[]`, ended by an entry without a pattern. */
export function tensorOverrideArray(overrides: readonly { pattern: string; type: number }[]): NativeArray {
  const size = structSizes.llama_model_tensor_override;
  const table = zeroed((overrides.length + 1) * size);
  const keep: unknown[] = [table];
  overrides.forEach(({ pattern, type }, index) => {
    const text = cString(pattern);
    table.setBigUint64(index * size, addressOf(text), true);
    table.setInt32(index * size + 8, type, true);
    keep.push(text);
  });
  return { address: addressOf(table), keep };
}

export type OverrideValue = string | number | bigint | boolean;

const valueOffset = 136;

/** `llama_model_kv_override[]`, ended by an entry with an empty key. Keys and texts hold at most 127 bytes. */
export function metadataOverrideArray(overrides: ReadonlyMap<string, OverrideValue>): NativeArray {
  const size = structSizes.llama_model_kv_override;
  const table = zeroed((overrides.size + 1) * size);
  const bytes = new Uint8Array(table.buffer);
  let offset = 0;
  for (const [key, value] of overrides) {
    bytes.set(Buffer.from(key, 'utf8').subarray(0, 127), offset + 4);
    writeOverride(table, offset, value);
    offset += size;
  }
  return { address: addressOf(table), keep: [table] };
}

/** Tags are those of `enum llama_model_kv_override_type`. */
function writeOverride(table: DataView, offset: number, value: OverrideValue): void {
  const at = offset + valueOffset;
  switch (typeof value) {
    case 'bigint':
      table.setInt32(offset, 0, true);
      table.setBigInt64(at, value, true);
      break;
    case 'number':
      table.setInt32(offset, 1, true);
      table.setFloat64(at, value, true);
      break;
    case 'boolean':
      table.setInt32(offset, 2, true);
      table.setUint8(at, value ? 1 : 0);
      break;
    case 'string':
      table.setInt32(offset, 3, true);
      new Uint8Array(table.buffer).set(Buffer.from(value, 'utf8').subarray(0, 127), at);
      break;
    default:
      value satisfies never;
  }
}
