import { expect, test } from 'vitest';
import { withSlabMemory } from '../../../src/encode/feedback/slab-memory.js';

const bufferOf = async (length: number): Promise<ArrayBufferLike> =>
  withSlabMemory((memory) => Promise.resolve(memory.errors(length).buffer));

test('slabs one after the other use the same memory', async () => {
  const first = await bufferOf(1024);
  expect(await bufferOf(1024)).toBe(first);
  expect(await bufferOf(512)).toBe(first);
  expect(await bufferOf(2048)).not.toBe(first);
});

test('slabs side by side use none together, and what failed is not used again', async () => {
  const used = await withSlabMemory(async (memory) => {
    const own = memory.errors(1024).buffer;
    expect(await bufferOf(1024)).not.toBe(own);
    return own;
  });
  let broken: ArrayBufferLike | undefined;
  const failed = withSlabMemory((memory) => {
    broken = memory.errors(1024).buffer;
    return Promise.reject(new Error('broken'));
  });
  await expect(failed).rejects.toThrow('broken');
  expect(broken).toBe(used);
  expect(await bufferOf(1024)).not.toBe(broken);
});

test('memory of whole matrices is not kept', async () => {
  const large = await bufferOf((1 << 21) + 1);
  expect(await bufferOf(1024)).not.toBe(large);
});
