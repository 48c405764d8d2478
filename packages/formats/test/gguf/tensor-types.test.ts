import { describe, expect, it } from 'vitest';
import {
  bitsPerWeight,
  isTensorType,
  tensorByteLength,
  tensorTypeById,
  tensorTypeNames,
  tensorTypes,
} from '../../src/index.js';
import { expectFailure } from '../support/errors.js';
import { goldenJson } from '../support/golden.js';

describe('tensor types', () => {
  it('equal the table of the native library', () => {
    const native = goldenJson<Record<string, [number, number, number]>>('ggml-types.json');
    const ours = Object.fromEntries(
      tensorTypeNames.map((name) => {
        const { id, blockSize, blockBytes } = tensorTypes[name];
        return [name, [id, blockSize, blockBytes]];
      }),
    );
    expect(ours).toEqual(native);
  });

  it('are found by number and by name', () => {
    for (const name of tensorTypeNames) expect(tensorTypeById(tensorTypes[name].id)).toBe(name);
    for (const removed of [4, 5, 31, 32, 33, 36, 37, 38, 43, -1])
      expect(tensorTypeById(removed)).toBeUndefined();
    expect(isTensorType('Q4_K')).toBe(true);
    expect(isTensorType('toString')).toBe(false);
  });

  it('give exact bytes and bits', () => {
    expect(tensorByteLength('Q4_K', [4096, 11_008])).toBe(25_362_432);
    expect(tensorByteLength('F16', [7])).toBe(14);
    expect(tensorByteLength('F32', [])).toBe(4);
    expect(tensorByteLength('F32', [5, 0])).toBe(0);
    expect(tensorByteLength('Q8_0', [32_768, 1_048_576])).toBe(36_507_222_016);
    expect(bitsPerWeight('IQ2_XXS')).toBe(2.0625);
    expect(bitsPerWeight('NVFP4')).toBe(4.5);
    expect(bitsPerWeight('TQ1_0')).toBe(1.6875);
  });

  it('refuse rows that are not whole blocks, and sizes beyond 2^53', async () => {
    await expectFailure(
      () => tensorByteLength('Q4_K', [128]),
      'validation',
      'TENSOR_SHAPE',
      /multiple of 256/,
    );
    await expectFailure(() => tensorByteLength('F32', [1.5]), 'validation', 'TENSOR_SHAPE');
    await expectFailure(() => tensorByteLength('F32', [-1]), 'validation', 'TENSOR_SHAPE');
    await expectFailure(
      () => tensorByteLength('F32', [2 ** 27, 2 ** 27]),
      'validation',
      'TENSOR_SHAPE',
      /2\^53/,
    );
  });
});
