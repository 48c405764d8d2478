/**
 * @file The grids of the low i-quants, and how to learn them: blocks that name every grid point, whose decoded weights are
 * the coordinates. So no grid is stored here, and none can differ from the one that decoders use.
 */
import type { TensorType } from '@bitsmith/formats';
import type { GridShape } from './grid-tables.js';
import { PAGE_BYTES, SUPER_BLOCK, TABLE_PAGES, TABLES } from './layout.js';

/** Types that give their grids their names. */
export type GridName = 'IQ1_S' | 'IQ2_XXS' | 'IQ2_XS' | 'IQ2_S' | 'IQ3_XXS' | 'IQ3_S';

const eight = { dimensions: 8, levels: 3, bits: 2 } as const;
const four = { dimensions: 4, levels: 8, bits: 3 } as const;

/** What is left of a shape is a matter of room: the first and the last page of the tables, as they lie behind each other. */
const pages = (first: number, end: number): Pick<GridShape, 'address' | 'capacity'> => ({
  address: TABLES + first * PAGE_BYTES,
  capacity: (end - first) * PAGE_BYTES,
});

export const gridShapes: Readonly<Record<GridName, GridShape>> = {
  IQ1_S: { ...eight, size: 2048, distances: 3, ...pages(0, 55) },
  IQ2_XXS: { ...eight, size: 256, distances: 2, ...pages(55, 77) },
  IQ2_XS: { ...eight, size: 512, distances: 2, ...pages(77, 110) },
  IQ2_S: { ...eight, size: 1024, distances: 1, ...pages(110, 122) },
  IQ3_XXS: { ...four, size: 256, distances: 2, ...pages(122, 125) },
  IQ3_S: { ...four, size: 512, distances: 3, ...pages(125, TABLE_PAGES) },
};

/** Where a block keeps the index of a group, low bits and then high ones; all else may be zero. */
interface IndexPlace {
  readonly blockBytes: number;
  /** Writes the index of group `group`. */
  readonly write: (block: DataView, group: number, index: number) => void;
}

const or = (block: DataView, at: number, bits: number): void => block.setUint8(at, block.getUint8(at) | bits);
const low = (block: DataView, group: number, index: number): void => block.setUint8(2 + group, index & 255);

const indexPlaces: Readonly<Record<GridName, IndexPlace>> = {
  IQ1_S: {
    blockBytes: 50,
    write: (block, group, index) => {
      low(block, group, index);
      const at = 34 + 2 * (group >> 2);
      block.setUint16(at, block.getUint16(at, true) | ((index >> 8) << (3 * (group % 4))), true);
    },
  },
  IQ2_XXS: {
    blockBytes: 66,
    write: (block, group, index) => block.setUint8(2 + 8 * (group >> 2) + (group % 4), index),
  },
  IQ2_XS: { blockBytes: 74, write: (block, group, index) => block.setUint16(2 + 2 * group, index, true) },
  IQ2_S: {
    blockBytes: 82,
    write: (block, group, index) => {
      low(block, group, index);
      or(block, 66 + (group >> 2), (index >> 8) << (2 * (group % 4)));
    },
  },
  IQ3_XXS: { blockBytes: 98, write: low },
  IQ3_S: {
    blockBytes: 110,
    write: (block, group, index) => {
      low(block, group, index);
      or(block, 66 + (group >> 3), (index >> 8) << (group % 8));
    },
  },
};

const HALF_ONE = 0x3c00;

/** A row of blocks of the grid's own type that names its points in order. */
export function rowOfGrid(grid: GridName): { readonly type: TensorType; readonly bytes: Uint8Array } {
  const { dimensions, size } = gridShapes[grid];
  const { blockBytes, write } = indexPlaces[grid];
  const groups = SUPER_BLOCK / dimensions;
  const bytes = new Uint8Array(blockBytes * (size / groups));
  for (let index = 0; index < size; index++) {
    const block = new DataView(bytes.buffer, Math.floor(index / groups) * blockBytes, blockBytes);
    if (index % groups === 0) block.setUint16(0, HALF_ONE, true);
    write(block, index % groups, index);
  }
  return { type: grid, bytes };
}

/** The codes of the grid's points by the weights that the row decodes to: levels are their ranks. */
export function gridCodes(grid: GridName, decoded: Float32Array): Uint16Array {
  const { dimensions, bits, size } = gridShapes[grid];
  const levels = [...new Set(decoded)].sort((a, b) => a - b);
  return Uint16Array.from({ length: size }, (_, index) => {
    const point = decoded.subarray(index * dimensions, (index + 1) * dimensions);
    return point.reduce((code, value, axis) => code | (levels.indexOf(value) << (bits * axis)), 0);
  });
}
