/** @file Decodes GGUF key-value pairs. Mirrors `encode-metadata.ts`. */
import type { WindowedReader } from '../io/windowed-reader.js';
import { quote } from '../text/quote.js';
import { decodeUtf8 } from '../text/utf8.js';
import { ggufError } from './fail.js';
import * as limits from './limits.js';
import type { GgufArray, GgufNumericArray, GgufString, GgufValue, GgufValueType } from './types.js';
import { minimumValueBytes, numericArrays, valueTypeById, type GgufNumericType } from './value-types.js';

/** Smallest key-value pair: key length, one key byte, type, one value byte. */
const MIN_PAIR_BYTES = 14;

/** Items of arrays that become JavaScript objects, counted over the whole header. */
interface ItemBudget {
  left: number;
}

export async function readMetadata(reader: WindowedReader, count: number): Promise<Map<string, GgufValue>> {
  checkCount('keys', count, limits.MAX_KEYS, MIN_PAIR_BYTES, reader.remaining);
  const metadata = new Map<string, GgufValue>();
  const budget: ItemBudget = { left: limits.MAX_ARRAY_ITEMS };
  for (let index = 0; index < count; index++) {
    const key = await readKey(reader, index);
    const label = quote(key);
    if (metadata.has(key)) {
      throw ggufError('GGUF_DUPLICATE_KEY', `key ${label} appears twice`, { expected: 'unique keys' });
    }
    if (!reader.has(4)) await reader.load(4, `the type of ${label}`);
    const type = knownValueType(reader.uint32(), label);
    metadata.set(key, await readValue(reader, type, label, budget));
  }
  return metadata;
}

/** Refuses a count that the rest of the file cannot hold, before anything is allocated for it. */
export function checkCount(
  what: string,
  count: number,
  cap: number,
  minBytes: number,
  remaining: number,
): void {
  const possible = Math.min(cap, Math.floor(remaining / minBytes));
  if (count > possible) {
    throw ggufError(
      'GGUF_COUNT',
      `the file declares ${count} ${what}, but at most ${possible} are possible`,
      {
        expected: `at most ${possible} ${what} (limit ${cap}, ${remaining} bytes left)`,
        found: String(count),
      },
    );
  }
}

/** A length-prefixed string, as raw bytes (a view). */
export async function readStringBytes(
  reader: WindowedReader,
  cap: number,
  what: string,
): Promise<Uint8Array> {
  if (!reader.has(8)) await reader.load(8, `the length of ${what}`);
  const length = reader.count64();
  if (length > cap) throw stringLengthError(what, length, cap);
  if (!reader.has(length)) await reader.load(length, what);
  return reader.take(length);
}

async function readKey(reader: WindowedReader, index: number): Promise<string> {
  const bytes = await readStringBytes(reader, limits.MAX_KEY_BYTES, `key ${index}`);
  const key = decodeUtf8(bytes);
  if (key === undefined || key === '') {
    throw ggufError('GGUF_KEY', `key ${index} is ${key === '' ? 'empty' : 'not valid UTF-8'}`, {
      expected: 'a non-empty UTF-8 key',
    });
  }
  return key;
}

function knownValueType(id: number, label: string): GgufValueType {
  const type = valueTypeById(id);
  if (type === undefined) {
    throw ggufError('GGUF_VALUE_TYPE', `key ${label} has the unknown value type ${id}`, {
      expected: 'a value type from 0 to 12',
      found: String(id),
    });
  }
  return type;
}

async function readValue(
  reader: WindowedReader,
  type: GgufValueType,
  label: string,
  budget: ItemBudget,
): Promise<GgufValue> {
  if (type === 'array') return readArray(reader, label, budget, 1);
  if (type === 'string') {
    return { type, value: toText(await readStringBytes(reader, limits.MAX_STRING_BYTES, label)) };
  }
  const bytes = minimumValueBytes[type];
  if (!reader.has(bytes)) await reader.load(bytes, label);
  switch (type) {
    case 'uint8':
    case 'int8':
    case 'uint16':
    case 'int16':
    case 'uint32':
    case 'int32':
    case 'float32':
    case 'float64':
      return { type, value: reader[type]() };
    case 'uint64':
      return { type, value: reader.bigUint64() };
    case 'int64':
      return { type, value: reader.bigInt64() };
    case 'bool':
      return { type, value: toBoolean(reader.uint8(), label) };
    default:
      return type satisfies never;
  }
}

async function readArray(
  reader: WindowedReader,
  label: string,
  budget: ItemBudget,
  depth: number,
): Promise<GgufArray> {
  if (depth > limits.MAX_ARRAY_DEPTH) {
    throw ggufError('GGUF_NESTING', `key ${label} nests arrays deeper than ${limits.MAX_ARRAY_DEPTH}`);
  }
  if (!reader.has(12)) await reader.load(12, `the array head of ${label}`);
  const itemType = knownValueType(reader.uint32(), label);
  const count = reader.count64();
  const what = `items of ${label}`;
  if (itemType !== 'string' && itemType !== 'bool' && itemType !== 'array') {
    checkCount(what, count, limits.MAX_HEADER_BYTES, minimumValueBytes[itemType], reader.remaining);
    return { type: 'array', itemType, value: await readNumbers(reader, itemType, count, label) };
  }
  checkCount(what, count, budget.left, minimumValueBytes[itemType], reader.remaining);
  budget.left -= count;
  switch (itemType) {
    case 'string':
      return { type: 'array', itemType, value: await readStrings(reader, count, label) };
    case 'bool':
      return { type: 'array', itemType, value: await readBooleans(reader, count, label) };
    case 'array': {
      const value: GgufArray[] = [];
      for (let index = 0; index < count; index++)
        value.push(await readArray(reader, label, budget, depth + 1));
      return { type: 'array', itemType, value };
    }
    default:
      return itemType satisfies never;
  }
}

async function readNumbers(
  reader: WindowedReader,
  type: GgufNumericType,
  count: number,
  label: string,
): Promise<GgufNumericArray> {
  const bytes = count * minimumValueBytes[type];
  if (bytes > limits.MAX_HEADER_BYTES - reader.position) {
    throw ggufError('GGUF_COUNT', `key ${label} declares ${count} numbers, ${bytes} bytes`, {
      expected: `at most ${limits.MAX_HEADER_BYTES} bytes`,
    });
  }
  const values = new numericArrays[type](count);
  await reader.readInto(new Uint8Array(values.buffer), label);
  return values;
}

async function readStrings(reader: WindowedReader, count: number, label: string): Promise<GgufString[]> {
  const values: GgufString[] = [];
  for (let index = 0; index < count; index++) {
    if (!reader.has(8)) await reader.load(8, `item ${index} of ${label}`);
    const length = reader.count64();
    if (length > limits.MAX_STRING_BYTES) throw stringLengthError(`item ${index} of ${label}`, length);
    if (!reader.has(length)) await reader.load(length, `item ${index} of ${label}`);
    values.push(toText(reader.take(length)));
  }
  return values;
}

async function readBooleans(reader: WindowedReader, count: number, label: string): Promise<boolean[]> {
  const bytes = new Uint8Array(count);
  await reader.readInto(bytes, label);
  return Array.from(bytes, (byte) => toBoolean(byte, label));
}

/** Bytes that are not UTF-8 are kept as bytes, so that writing gives them back unchanged. */
function toText(bytes: Uint8Array): GgufString {
  return decodeUtf8(bytes) ?? bytes.slice();
}

function toBoolean(byte: number, label: string): boolean {
  if (byte > 1) {
    throw ggufError('GGUF_BOOL', `key ${label} holds the boolean ${byte}`, {
      expected: '0 or 1',
      found: String(byte),
    });
  }
  return byte === 1;
}

function stringLengthError(what: string, length: number, cap: number = limits.MAX_STRING_BYTES): Error {
  return ggufError('GGUF_STRING_LENGTH', `${what} is ${length} bytes long`, {
    expected: `at most ${cap} bytes`,
    found: `${length} bytes`,
  });
}
