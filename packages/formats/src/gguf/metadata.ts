/**
 * @file Typed access to GGUF metadata. A key that is missing or has another type is a coded error; the `...OrUndefined`
 * forms allow it to be missing, never to have another type.
 */
import { ggufError } from './fail.js';
import type { GgufMetadata, GgufNumericArray, GgufString, GgufValue } from './types.js';
import { quote } from '../text/quote.js';

/** @throws BitsmithError `GGUF_KEY_MISSING`, `GGUF_KEY_TYPE` (also for text that is not UTF-8). */
export function getString(metadata: GgufMetadata, key: string): string {
  return required(key, getStringOrUndefined(metadata, key));
}

export function getStringOrUndefined(metadata: GgufMetadata, key: string): string | undefined {
  const entry = metadata.get(key);
  if (entry === undefined) return undefined;
  if (entry.type === 'string' && typeof entry.value === 'string') return entry.value;
  throw typeError(key, 'a UTF-8 string', entry);
}

/**
 * Any integer or float type, as a number.
 * @throws BitsmithError `GGUF_KEY_MISSING`, `GGUF_KEY_TYPE` (also for 64-bit integers above 2^53).
 */
export function getNumber(metadata: GgufMetadata, key: string): number {
  return required(key, getNumberOrUndefined(metadata, key));
}

export function getNumberOrUndefined(metadata: GgufMetadata, key: string): number | undefined {
  const entry = metadata.get(key);
  if (entry === undefined) return undefined;
  if (typeof entry.value === 'number') return entry.value;
  if (typeof entry.value === 'bigint' && Number.isSafeInteger(Number(entry.value)))
    return Number(entry.value);
  throw typeError(key, 'a number below 2^53', entry);
}

/** @throws BitsmithError `GGUF_KEY_MISSING`, `GGUF_KEY_TYPE`. */
export function getBoolean(metadata: GgufMetadata, key: string): boolean {
  return required(key, getBooleanOrUndefined(metadata, key));
}

export function getBooleanOrUndefined(metadata: GgufMetadata, key: string): boolean | undefined {
  const entry = metadata.get(key);
  if (entry === undefined) return undefined;
  if (entry.type === 'bool') return entry.value;
  throw typeError(key, 'a boolean', entry);
}

/** @throws BitsmithError `GGUF_KEY_MISSING`, `GGUF_KEY_TYPE` (also where an item is not UTF-8). */
export function getStringArray(metadata: GgufMetadata, key: string): readonly string[] {
  return required(key, getStringArrayOrUndefined(metadata, key));
}

export function getStringArrayOrUndefined(
  metadata: GgufMetadata,
  key: string,
): readonly string[] | undefined {
  const items = getRawStringArrayOrUndefined(metadata, key);
  if (items === undefined) return undefined;
  if (items.every((item) => typeof item === 'string')) return items;
  throw ggufError('GGUF_KEY_TYPE', `an item of ${quote(key)} is not UTF-8`, {
    expected: 'UTF-8 strings',
    found: 'other bytes',
  });
}

/** Strings whose bytes need not be UTF-8, such as vocabularies of byte pieces. */
export function getRawStringArray(metadata: GgufMetadata, key: string): readonly GgufString[] {
  return required(key, getRawStringArrayOrUndefined(metadata, key));
}

function getRawStringArrayOrUndefined(
  metadata: GgufMetadata,
  key: string,
): readonly GgufString[] | undefined {
  const entry = metadata.get(key);
  if (entry === undefined) return undefined;
  if (entry.type === 'array' && entry.itemType === 'string') return entry.value;
  throw typeError(key, 'an array of strings', entry);
}

/** @throws BitsmithError `GGUF_KEY_MISSING`, `GGUF_KEY_TYPE`. */
export function getNumericArray(metadata: GgufMetadata, key: string): GgufNumericArray {
  return required(key, getNumericArrayOrUndefined(metadata, key));
}

export function getNumericArrayOrUndefined(
  metadata: GgufMetadata,
  key: string,
): GgufNumericArray | undefined {
  const entry = metadata.get(key);
  if (entry === undefined) return undefined;
  if (
    entry.type === 'array' &&
    entry.itemType !== 'string' &&
    entry.itemType !== 'bool' &&
    entry.itemType !== 'array'
  ) {
    return entry.value;
  }
  throw typeError(key, 'an array of numbers', entry);
}

function required<T>(key: string, value: T | undefined): T {
  if (value !== undefined) return value;
  throw ggufError('GGUF_KEY_MISSING', `the key ${quote(key)} is missing`, {
    expected: `the key ${key}`,
    found: 'no such key',
    suggestion: 'Export the model again with a current converter.',
  });
}

function typeError(key: string, expected: string, entry: GgufValue): Error {
  const found = entry.type === 'array' ? `an array of ${entry.itemType}` : describeScalar(entry);
  return ggufError('GGUF_KEY_TYPE', `the key ${quote(key)} holds ${found}, not ${expected}`, {
    expected,
    found,
    suggestion: 'Export the model again with a current converter.',
  });
}

function describeScalar(entry: GgufValue): string {
  const text = entry.value instanceof Uint8Array ? 'bytes that are not UTF-8' : quote(String(entry.value));
  return `the ${entry.type} ${text.length > 80 ? `${text.slice(0, 80)}...` : text}`;
}
