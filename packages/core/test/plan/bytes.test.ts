import { layoutGguf, tensorTypeNames, tensorTypes } from '@bitsmith/formats';
import type { TensorType } from '@bitsmith/formats';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fileBytes, storedBytes } from '../../src/plan/bytes.js';
import { fileTypeOf } from '../../src/plan/file-type.js';
import { ggufSchemes, legalSchemes } from '../../src/plan/schemes.js';

const spec = fc
  .record({
    type: fc.constantFrom(...tensorTypeNames),
    blocks: fc.integer({ min: 1, max: 5 }),
    rows: fc.integer({ min: 1, max: 7 }),
  })
  .map(({ type, blocks, rows }) => ({ type, shape: [blocks * tensorTypes[type].blockSize, rows] }));

describe('predicted bytes', () => {
  it('are the bytes that the writer lays out', () => {
    fc.assert(
      fc.property(fc.array(spec, { maxLength: 12 }), fc.constantFrom(32, 64, 256), (specs, alignment) => {
        const tensors = specs.map((tensor, index) => ({ name: `blk.${index}.weight`, ...tensor }));
        const layout = layoutGguf({ metadata: new Map(), tensors, alignment });
        const bytes = tensors.map(({ type, shape }) => storedBytes(type, shape, alignment));
        expect(fileBytes(layout.header.byteLength, bytes)).toBe(layout.byteLength);
      }),
      { numRuns: 500 },
    );
  });

  it('need a header whose length does not depend on the schemes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 6 }),
        fc.nat(),
        (widths, pick) => {
          const header = (scheme: (rowLength: number) => TensorType) =>
            layoutGguf({
              metadata: new Map(),
              tensors: widths.map((width, index) => ({
                name: `t${index}`,
                type: scheme(width * 256),
                shape: [width * 256, 3],
              })),
            }).header.byteLength;
          const other = (rowLength: number) => {
            const legal = legalSchemes(rowLength, ggufSchemes);
            return legal[pick % legal.length].id;
          };
          expect(header(other)).toBe(header(() => 'F32'));
        },
      ),
    );
  });

  it('never grow when bits fall', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 50 }), (rowLength, rows) => {
        const bytes = legalSchemes(rowLength, ggufSchemes).map(({ id }) =>
          storedBytes(id, [rowLength, rows]),
        );
        expect(bytes).toEqual(bytes.toSorted((a, b) => a - b));
      }),
    );
  });
});

function file(...tensors: [TensorType, number][]): number {
  return fileTypeOf(tensors.map(([type, elements]) => ({ type, elements })));
}

describe('fileTypeOf', () => {
  it('names a file after the type that stores most weights', () => {
    expect(file(['F32', 10], ['Q4_K', 1000], ['Q6_K', 900])).toBe(15);
    expect(file(['Q4_K', 600], ['Q6_K', 500], ['Q4_K', 1], ['Q6_K', 102])).toBe(18);
    expect(file(['BF16', 5], ['F32', 1])).toBe(32);
    expect(file(['IQ2_S', 5])).toBe(28);
    expect(file(['F32', 5])).toBe(0);
    expect(file(['I32', 5], ['MXFP4', 1])).toBe(38);
    expect(file()).toBe(0);
  });
});
