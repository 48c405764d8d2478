import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { cutIntoSlabs } from '../../src/encode/slabs.js';

test('slabs cover every row once, in order, and never cross a matrix', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4096 }),
      fc.integer({ min: 1, max: 700 }),
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 1 << 19 }),
      (rowLength, rowsPerMatrix, matrices, slabWeights) => {
        const rows = rowsPerMatrix * matrices;
        const slabs = cutIntoSlabs({ rowLength, rows, rowsPerMatrix }, slabWeights);
        let next = 0;
        for (const { firstRow, rows: count } of slabs) {
          if (firstRow !== next) throw new Error(`expected row ${next}, found ${firstRow}`);
          const last = firstRow + count - 1;
          const oneMatrix = Math.floor(firstRow / rowsPerMatrix) === Math.floor(last / rowsPerMatrix);
          const fits = count === 1 || count * rowLength <= slabWeights;
          if (count < 1 || !oneMatrix || !fits) throw new Error(`slab of rows ${firstRow} to ${last}`);
          next = firstRow + count;
        }
        expect(next).toBe(rows);
      },
    ),
  );
});

test('a row longer than a slab is still one slab', () => {
  expect(cutIntoSlabs({ rowLength: 1 << 20, rows: 2, rowsPerMatrix: 2 }, 1 << 10)).toEqual([
    { firstRow: 0, rows: 1 },
    { firstRow: 1, rows: 1 },
  ]);
});

test('a small tensor is one slab a matrix', () => {
  expect(cutIntoSlabs({ rowLength: 256, rows: 6, rowsPerMatrix: 3 }, 1 << 19)).toEqual([
    { firstRow: 0, rows: 3 },
    { firstRow: 3, rows: 3 },
  ]);
});
