import { tensorTypes } from '@bitsmith/formats';
import { describe, expect, it } from 'vitest';
import {
  encodableSchemes,
  findScheme,
  legalSchemes,
  nearestSchemes,
  schemes,
} from '../../src/plan/schemes.js';

function ids(rowLength: number): string[] {
  return legalSchemes(rowLength).map(({ id }) => id);
}

describe('the catalogue of schemes', () => {
  it('has every type that ggml can encode and compute with, cheapest first', () => {
    expect(schemes.map(({ id, bitsPerWeight }) => `${id} ${bitsPerWeight}`)).toEqual([
      'Q1_0 1.125',
      'IQ1_S 1.5625',
      'TQ1_0 1.6875',
      'IQ1_M 1.75',
      'TQ2_0 2.0625',
      'IQ2_XXS 2.0625',
      'Q2_0 2.25',
      'IQ2_XS 2.3125',
      'IQ2_S 2.5625',
      'Q2_K 2.625',
      'IQ3_XXS 3.0625',
      'IQ3_S 3.4375',
      'Q3_K 3.4375',
      'IQ4_XS 4.25',
      'MXFP4 4.25',
      'IQ4_NL 4.5',
      'NVFP4 4.5',
      'Q4_0 4.5',
      'Q4_K 4.5',
      'Q4_1 5',
      'Q5_0 5.5',
      'Q5_K 5.5',
      'Q5_1 6',
      'Q6_K 6.5625',
      'Q8_0 8.5',
      'BF16 16',
      'F16 16',
      'F32 32',
    ]);
  });

  it('leaves out only activation, integer and double types', () => {
    const left = Object.keys(tensorTypes).filter((name) => findScheme(name) === undefined);
    expect(left).toEqual(['Q8_1', 'Q8_K', 'I8', 'I16', 'I32', 'I64', 'F64']);
  });

  it('needs importance weights where ggml aborts without them', () => {
    const needing = schemes.filter(({ needsImportance }) => needsImportance).map(({ id }) => id);
    expect(needing.toSorted()).toEqual(['IQ1_S', 'IQ2_XS', 'IQ2_XXS']);
  });

  it('never has groups wider than a block', () => {
    for (const { id, groupSize, rowMultiple } of schemes) expect(rowMultiple % groupSize, id).toBe(0);
  });

  it('knows what rows of odd lengths can be', () => {
    expect(ids(256)).toHaveLength(schemes.length);
    expect(ids(640)).toEqual([
      'Q1_0', 'Q2_0', 'MXFP4', 'IQ4_NL', 'NVFP4', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'BF16', 'F16', 'F32',
    ]); // prettier-ignore
    expect(ids(96)).toEqual([
      'MXFP4',
      'IQ4_NL',
      'Q4_0',
      'Q4_1',
      'Q5_0',
      'Q5_1',
      'Q8_0',
      'BF16',
      'F16',
      'F32',
    ]);
    expect(ids(7)).toEqual(['BF16', 'F16', 'F32']);
  });

  it('offers for encoding only what is smaller than stored', () => {
    expect(encodableSchemes(256, 'BF16').at(-1)).toBe('Q8_0');
    expect(encodableSchemes(256).at(-1)).toBe('F16');
    expect(encodableSchemes(7, 'F16')).toEqual([]);
    expect(encodableSchemes(256, 'IQ1_S')).toEqual(['Q1_0']);
  });

  it('finds names in any case and suggests the nearest for slips', () => {
    expect(findScheme('q4_k')?.id).toBe('Q4_K');
    expect(findScheme('Q4_K_M')).toBeUndefined();
    expect(nearestSchemes('Q4K')[0]).toBe('Q4_K');
    expect(nearestSchemes('Q4_K_M')[0]).toBe('Q4_K');
    expect(nearestSchemes('iq2-xxs')[0]).toBe('IQ2_XXS');
    expect(nearestSchemes('nothing like it')).toEqual([]);
  });
});
