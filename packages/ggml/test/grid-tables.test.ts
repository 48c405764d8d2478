import { describe, expect, it } from 'vitest';
import { type GridShape, gridTables, neighbourLists } from '../src/kernels/grid-tables.js';
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

  it.each(names)('%s: tables name every point of the lattice, and fit into their place', async (name) => {
    const shape = gridShapes[name];
    const codes = await codesOf(name);
    const tables = gridTables(shape, codes);
    expect(tables.byteLength).toBeLessThanOrEqual(shape.capacity);
    const view = new DataView(tables.buffer);
    const entries = Array.from(codes, (code) => view.getInt32(4 * code, true));
    expect(entries).toEqual(Array.from(codes, (_, index) => index));
    const blockBytes = 4 * (shape.dimensions + 2);
    const lists = [...neighbourLists(shape, codes)];
    let place = -view.getInt32(4 * lists[0][0], true) - shape.address;
    const wrong = lists.filter(([code, members]) => {
      const start = place;
      place += 4 + blockBytes * Math.ceil(members.length / 4);
      return (
        view.getInt32(4 * code, true) !== -(shape.address + start) ||
        view.getInt32(start, true) !== shape.address + place ||
        view.getUint16(start + 4 + 4 * shape.dimensions, true) !== codes[members[0]]
      );
    });
    expect(wrong).toEqual([]);
    expect(place).toBe(view.byteLength);
  });

  it('stand behind each other in memory', () => {
    const places = Object.values(gridShapes).sort((a, b) => a.address - b.address);
    for (const [index, { address, capacity }] of places.slice(0, -1).entries())
      expect(address + capacity).toBe(places[index + 1].address);
  });
});
