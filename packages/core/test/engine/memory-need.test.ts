import os from 'node:os';
import { expect, test } from 'vitest';
import { contextBytes, memoryLimit, refuseTooLittleMemory } from '../../src/engine/memory-need.js';
import { expectFailure } from '../support/errors.js';

const qwen = { vocabulary: 151_936, layers: 36, cachedPerLayer: 8 * (128 + 128) };

test('a context takes its logits, and the keys and values of its tokens', () => {
  expect(contextBytes({ tokens: 2048, outputs: 1024, ...qwen })).toBe(
    1024 * 151_936 * 4 + 2048 * 36 * 2048 * 2,
  );
});

test('what cannot fit is refused before it is taken, with both figures', async () => {
  const needed = contextBytes({ tokens: 32_768, outputs: 16_384, ...qwen });
  await expectFailure(
    () => refuseTooLittleMemory(needed, 8e9),
    'resources',
    'MEMORY_TOO_SMALL',
    /expected 14\.8 GB .* found 8\.0 GB/,
  );
  refuseTooLittleMemory(needed, 16e9);
});

test('the limit is of this machine or of its container', () => {
  expect(memoryLimit()).toBeGreaterThan(0);
  expect(memoryLimit()).toBeLessThanOrEqual(os.totalmem());
});
