import { describe, expect, it } from 'vitest';
import { type GridShape, gridTables, neighbourLists } from '../src/kernels/grid-tables.js';
import { TABLES } from '../src/kernels/grid-layout.js';
import { gridCodes, type GridName, gridShapes, rowOfGrid } from '../src/kernels/grids.js';
import { decodeRows, loadEngine } from '../src/index.js';

const engine = loadEngine({ threads: 2 });
const names = Object.keys(gridShapes) as GridName[];

async function codesOf(name: GridName): Promise<Uint16Array> {
  const { dimensions, size } = gridShapes[name];
  const decoded = new Float32Array(dimensions * size);
  await decodeRows(engine, { ...rowOfGrid(name), rows: 1, rowLength: decoded.length }, decoded);
  return gridCodes(name, decoded);
}

/** As ggml does it: all grid points sorted by distance and index, then as many distances as wanted. */
function sortedNeighbours({ dimensions, bits, distances }: GridShape, codes: Uint16Array, code: number) {
  const level = (of: number, axis: number): number => (of >> (bits * axis)) & ((1 << bits) - 1);
  const axes = Array.from({ length: dimensions }, (_, axis) => axis);
  const all = Array.from(codes, (other, index) => ({
    index,
    distance: axes.reduce((sum, axis) => sum + (level(other, axis) - level(code, axis)) ** 2, 0),
  })).sort((a, b) => a.distance - b.distance || a.index - b.index);
  const limit = [...new Set(all.map(({ distance }) => distance))][distances - 1];
  return Uint16Array.from(all.filter(({ distance }) => distance <= limit).map(({ index }) => index));
}

describe('tables of the grids', () => {
  it.each(names)('%s: points are distinct, and the first of them has the lowest levels', async (name) => {
    const codes = await codesOf(name);
    expect(new Set(codes).size).toBe(gridShapes[name].size);
    expect(codes[0]).toBe(0);
  });

  it.each(names)('%s: neighbours are those of a full sort', async (name) => {
    const shape = gridShapes[name];
    const codes = await codesOf(name);
    const lists = neighbourLists(shape, codes);
    expect(lists.size).toBe(shape.levels ** shape.dimensions - shape.size);
    const points = [...lists.keys()].filter((_, place) => place % 400 === 0);
    for (const code of points) expect(lists.get(code)).toEqual(sortedNeighbours(shape, codes, code));
  });

  it('name every point of the lattice: grid points by index, others by where their list stands', async () => {
    const shape = gridShapes.IQ3_XXS;
    const codes = await codesOf('IQ3_XXS');
    const view = new DataView(gridTables(shape, codes).buffer);
    const map = 2 * shape.size;
    codes.forEach((code, index) => expect(view.getInt32(map + 4 * code, true)).toBe(index));
    const lists = [...neighbourLists(shape, codes)];
    let address = TABLES + map + 4 * 4096;
    for (const [code, members] of lists) {
      expect(view.getInt32(map + 4 * code, true)).toBe(-address);
      const end = view.getInt32(address - TABLES, true);
      expect(end - address - 4).toBe(24 * Math.ceil(members.length / 4));
      expect(view.getUint16(address - TABLES + 4 + 16, true)).toBe(codes[members[0]]);
      address = end;
    }
    expect(address - TABLES).toBe(view.byteLength);
  });
});
