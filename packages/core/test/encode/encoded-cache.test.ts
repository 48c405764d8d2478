import { describe, expect, test } from 'vitest';
import { EncodedCache, sharedEncodedCache } from '../../src/encode/encoded-cache.js';

const filled = (cache: EncodedCache, key: string, byteLength: number): Uint8Array => {
  const bytes = cache.allocate(byteLength);
  cache.keep(key, 'Q4_0', bytes);
  return bytes;
};

describe('encoded tensors that are kept', () => {
  test('are the very same bytes as long as there is room', () => {
    const cache = new EncodedCache(1000);
    const first = filled(cache, 'a', 100);
    expect(cache.get('a', 'Q4_0')).toBe(first);
    expect(cache.get('b', 'Q4_0')).toBeUndefined();
  });

  test('give way in the order of their last use', () => {
    const cache = new EncodedCache(1000);
    for (let index = 0; index < 10; index++) filled(cache, `${index}`, 100);
    cache.get('0', 'Q4_0');
    filled(cache, 'new', 120);
    const left = Array.from({ length: 10 }, (_, index) => index).filter((index) =>
      cache.get(`${index}`, 'Q4_0'),
    );
    expect(left).toEqual([0, 3, 4, 5, 6, 7, 8, 9]);
    expect(cache.get('new', 'Q4_0')).toBeDefined();
  });

  test('leave room for others: a large share of the limit is not taken', () => {
    expect(new EncodedCache(1000).takes(125)).toBe(true);
    expect(new EncodedCache(1000).takes(126)).toBe(false);
    expect(new EncodedCache(0).takes(1)).toBe(false);
  });

  test('are told apart by scheme', () => {
    const cache = new EncodedCache(1000);
    filled(cache, 'a', 100);
    expect(cache.get('a', 'Q4_1')).toBeUndefined();
  });

  test('give way where room has become less', () => {
    const cache = new EncodedCache(1000);
    for (const name of ['a', 'b', 'c']) filled(cache, name, 100);
    cache.resize(200);
    expect(['a', 'b', 'c'].filter((name) => cache.get(name, 'Q4_0'))).toEqual(['b', 'c']);
  });

  test('outlive a task only for the same weights and statistics', () => {
    const from = { files: ['model'], importancePath: 'matrix' };
    const cache = sharedEncodedCache(from, 1000);
    expect(sharedEncodedCache({ ...from, rounding: null }, 1000)).toBe(cache);
    expect(sharedEncodedCache(from, 0)).not.toBe(cache);
    expect(sharedEncodedCache(from, 2000)).toBe(cache);
    expect(sharedEncodedCache({ ...from, importancePath: 'another' }, 1000)).not.toBe(cache);
  });
});
