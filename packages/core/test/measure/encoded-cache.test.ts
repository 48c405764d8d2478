import { describe, expect, test } from 'vitest';
import { EncodedCache, sharedEncodedCache } from '../../src/measure/live/encoded-cache.js';

const filled = (cache: EncodedCache, key: string, byteLength: number): Uint8Array => {
  const bytes = cache.allocate(byteLength);
  cache.keep(key, bytes);
  return bytes;
};

describe('encoded tensors that are kept', () => {
  test('are the very same bytes as long as there is room', () => {
    const cache = new EncodedCache(1000);
    const first = filled(cache, 'a', 100);
    expect(cache.get('a')).toBe(first);
    expect(cache.get('b')).toBeUndefined();
  });

  test('give way in the order of their last use', () => {
    const cache = new EncodedCache(1000);
    for (let index = 0; index < 10; index++) filled(cache, `${index}`, 100);
    cache.get('0');
    filled(cache, 'new', 120);
    const left = Array.from({ length: 10 }, (_, index) => index).filter((index) => cache.get(`${index}`));
    expect(left).toEqual([0, 3, 4, 5, 6, 7, 8, 9]);
    expect(cache.get('new')).toBeDefined();
  });

  test('leave room for others: a large share of the limit is not taken', () => {
    expect(new EncodedCache(1000).takes(125)).toBe(true);
    expect(new EncodedCache(1000).takes(126)).toBe(false);
    expect(new EncodedCache(0).takes(1)).toBe(false);
  });

  test('outlive a task only for the same weights and matrix', () => {
    const cache = sharedEncodedCache('model and matrix', 1000);
    expect(sharedEncodedCache('model and matrix', 1000)).toBe(cache);
    expect(sharedEncodedCache('model and matrix', 0)).not.toBe(cache);
    expect(sharedEncodedCache('model and matrix', 1000)).toBe(cache);
    expect(sharedEncodedCache('another matrix', 1000)).not.toBe(cache);
  });
});
