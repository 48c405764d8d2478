import { describe, expect, it } from 'vitest';
import {
  getBoolean,
  getBooleanOrUndefined,
  getNumber,
  getNumberOrUndefined,
  getNumericArray,
  getNumericArrayOrUndefined,
  getRawStringArray,
  getString,
  getStringArray,
  getStringArrayOrUndefined,
  getStringOrUndefined,
  ggufBool,
  ggufBoolArray,
  ggufFloat32,
  ggufFloat32Array,
  ggufInt32Array,
  ggufString,
  ggufStringArray,
  ggufUint32,
  ggufUint64,
  type GgufValue,
} from '../../src/index.js';
import { expectFailure } from '../support/errors.js';

const metadata = new Map<string, GgufValue>([
  ['text', ggufString('words')],
  ['bytes', ggufString(Uint8Array.of(0xff))],
  ['count', ggufUint32(7)],
  ['rate', ggufFloat32(0.5)],
  ['big', ggufUint64(12)],
  ['huge', ggufUint64(2n ** 63n)],
  ['flag', ggufBool(true)],
  ['names', ggufStringArray(['a', 'b'])],
  ['mixed', ggufStringArray(['a', Uint8Array.of(0xff)])],
  ['flags', ggufBoolArray([true])],
  ['ids', ggufInt32Array([1, -1])],
  ['scores', ggufFloat32Array([0.25])],
]);

describe('metadata getters', () => {
  it('give values of their type', () => {
    expect(getString(metadata, 'text')).toBe('words');
    expect(getNumber(metadata, 'count')).toBe(7);
    expect(getNumber(metadata, 'rate')).toBe(0.5);
    expect(getNumber(metadata, 'big')).toBe(12);
    expect(getBoolean(metadata, 'flag')).toBe(true);
    expect(getStringArray(metadata, 'names')).toEqual(['a', 'b']);
    expect(getRawStringArray(metadata, 'mixed')).toEqual(['a', Uint8Array.of(0xff)]);
    expect(getNumericArray(metadata, 'ids')).toEqual(Int32Array.of(1, -1));
    expect(getNumericArray(metadata, 'scores')).toEqual(Float32Array.of(0.25));
  });

  it.each([getString, getNumber, getBoolean, getStringArray, getRawStringArray, getNumericArray])(
    '%o says which key is missing',
    async (get) => {
      await expectFailure(
        () => get(metadata, 'general.name'),
        'validation',
        'GGUF_KEY_MISSING',
        /"general.name"/,
      );
    },
  );

  it('may allow a key to be missing', () => {
    const getters = [
      getStringOrUndefined,
      getNumberOrUndefined,
      getBooleanOrUndefined,
      getStringArrayOrUndefined,
      getNumericArrayOrUndefined,
    ];
    for (const get of getters) expect(get(metadata, 'none')).toBeUndefined();
  });

  it.each<[string, () => unknown, RegExp]>([
    ['text as a number', () => getNumber(metadata, 'text'), /holds the string "words", not a number/],
    ['a number as text', () => getString(metadata, 'count'), /holds the uint32 "7", not a UTF-8 string/],
    ['bytes as text', () => getString(metadata, 'bytes'), /bytes that are not UTF-8/],
    ['a number above 2^53', () => getNumber(metadata, 'huge'), /below 2\^53/],
    ['a number as a flag', () => getBooleanOrUndefined(metadata, 'count'), /not a boolean/],
    ['numbers as names', () => getStringArray(metadata, 'ids'), /an array of int32, not an array of strings/],
    ['names that are not text', () => getStringArray(metadata, 'mixed'), /is not UTF-8/],
    ['flags as numbers', () => getNumericArray(metadata, 'flags'), /an array of bool/],
    ['one name as many', () => getStringArrayOrUndefined(metadata, 'text'), /not an array of strings/],
  ])('refuse %s', async (_what, step, message) => {
    await expectFailure(step, 'validation', 'GGUF_KEY_TYPE', message);
  });
});
