import { encodableSchemes } from '../../src/plan/encodable-schemes.js';
import { tensorTypes } from '@bitsmith/formats';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { storedBytes } from '../../src/plan/bytes.js';
import { parseSchemes } from '../../src/plan/scheme-list.js';
import { findScheme, ggufSchemes, legalSchemes, nearestSchemes, schemes } from '../../src/plan/schemes.js';

function ids(rowLength: number): string[] {
  return legalSchemes(rowLength, ggufSchemes).map(({ id }) => id);
}

describe('the catalogue of schemes', () => {
  it('has every type that ggml can encode and compute with, cheapest first', () => {
    expect(ggufSchemes.map(({ id, bitsPerWeight }) => `${id} ${bitsPerWeight}`)).toEqual([
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
    for (const { id, groupSize, rowMultiple } of ggufSchemes)
      expect(rowMultiple % Number(groupSize), id).toBe(0);
  });

  it('knows what rows of odd lengths can be', () => {
    expect(ids(256)).toHaveLength(ggufSchemes.length);
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

describe('affine schemes', () => {
  const affine = schemes.filter(({ family }) => family === 'affine');

  it('are every width in every group, and int8', () => {
    expect(affine).toHaveLength(36);
    expect(schemes).toHaveLength(ggufSchemes.length + 37);
    expect(findScheme('Affine4-G64')).toEqual({
      id: 'affine4-g64',
      family: 'affine',
      bits: 4,
      groupSize: 64,
      symmetry: 'asymmetric',
      bitsPerWeight: 4 + 20 / 64,
      rowMultiple: 1,
      needsImportance: false,
    });
    expect(findScheme('int8')).toMatchObject({
      family: 'int8',
      bits: 8,
      groupSize: 'row',
      symmetry: 'symmetric',
    });
  });

  it('store rows of any length, in bytes that never grow with fewer bits or larger groups', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 9 }), (rowLength, rows) => {
        const shape = [rowLength, rows];
        for (const one of affine) {
          for (const other of affine) {
            const [a, b] = [one, other].map(({ groupSize }) => (groupSize === 'row' ? Infinity : groupSize));
            if (one.bits > other.bits || a < b) continue;
            expect(storedBytes(one.id, shape)).toBeLessThanOrEqual(storedBytes(other.id, shape));
          }
        }
        expect(legalSchemes(rowLength, affine)).toEqual(affine);
      }),
      { numRuns: 50 },
    );
  });

  it('are offered once each: a group that no row fills is the whole row', () => {
    const four = affine.filter(({ bits }) => bits === 4);
    expect(encodableSchemes(768, 'BF16', four)).toEqual([
      'affine4-row',
      'affine4-g256',
      'affine4-g128',
      'affine4-g64',
      'affine4-g32',
      'affine4-g16',
    ]);
    expect(encodableSchemes(64, 'BF16', four)).toEqual(['affine4-row', 'affine4-g32', 'affine4-g16']);
    // 5 bytes of codes, scale and zero point for 4 weights: 5 is less than the 8 that they take.
    expect(encodableSchemes(4, 'BF16', four)).toEqual(['affine4-row']);
    expect(encodableSchemes(2, 'BF16', affine)).toEqual([]);
    expect(encodableSchemes(256, 'Q4_0', four).at(-1)).toBe('affine4-g64');
  });
});

describe('parseSchemes', () => {
  const ids = (...names: string[]): readonly string[] => parseSchemes(names).map(({ id }) => id);

  it('is all of GGUF unless told otherwise', () => {
    expect(parseSchemes(undefined)).toBe(ggufSchemes);
    expect(ids('gguf')).toEqual(ggufSchemes.map(({ id }) => id));
  });

  it('knows names and families, each once', () => {
    expect(ids('k-quants')).toEqual(['Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K']);
    expect(ids('q8_0', 'Float')).toEqual(['Q8_0', 'BF16', 'F16', 'F32']);
    expect(ids('I-quants').every((id) => id.startsWith('IQ'))).toBe(true);
    expect(ids('affine3', 'affine3-g64', ' int8 ')).toEqual([
      'affine3-g16',
      'affine3-g32',
      'affine3-g64',
      'affine3-g128',
      'affine3-g256',
      'affine3-row',
      'int8',
    ]);
    expect(ids('affine', 'int8', 'gguf')).toHaveLength(schemes.length);
  });

  it('refuses what it does not know, with the nearest names', () => {
    expect(() => ids('k-quant')).toThrowError(
      expect.objectContaining({
        code: 'SCHEME_UNKNOWN',
        suggestion: expect.stringMatching(/^Did you mean k-quants/) as string,
      }),
    );
    expect(() => ids('affine4-g48')).toThrowError(
      expect.objectContaining({ suggestion: expect.stringMatching(/^Did you mean affine4-g\d+/) as string }),
    );
    expect(() => parseSchemes([])).toThrowError(expect.objectContaining({ code: 'SCHEME_UNKNOWN' }));
  });
});
