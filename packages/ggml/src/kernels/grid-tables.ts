/**
 * @file The search tables of the low i-quants: what ggml's `iq2xs_init_impl` and `iq3xs_init_impl` build. Their codes name
 * points of a grid, a small part of a lattice; a point off the grid is exchanged for one of its neighbours there, so for each
 * of them the nearest grid points are listed. ggml sorts the whole grid by distance for every point and takes seconds; but a
 * list holds only the points at the few least distances, which one count of the distances finds, and of ggml's points only
 * those matter that levels of the grid can form.
 */
/** What the grids differ in. */
export interface GridShape {
  /** Weights that one grid point stands for. */
  readonly dimensions: 8 | 4;
  /** Values of a coordinate: level l stands for 2 l + 1. */
  readonly levels: 3 | 8;
  /** Bits of a coordinate in a point's code; the first coordinate has the lowest. */
  readonly bits: 2 | 3;
  /** Grid points. */
  readonly size: number;
  /** Neighbours are the grid points at this many least distances. */
  readonly distances: number;
  /** Where the tables stand in memory, and the bytes that they may take. */
  readonly address: number;
  readonly capacity: number;
}

/** Neighbours of a block, compared side by side. */
const TOGETHER = 4;

/** A block: level x 4 of each coordinate, that of four neighbours a coordinate, then their codes of 16 bits. */
export function neighbourBlock({ dimensions }: GridShape): {
  readonly codes: number;
  readonly bytes: number;
} {
  return { codes: TOGETHER * dimensions, bytes: TOGETHER * (dimensions + 2) };
}

/** Bytes of the map at the beginning of the tables. */
function mapBytes({ levels, dimensions, bits }: GridShape): number {
  const last = Array.from({ length: dimensions }, () => levels - 1);
  return 4 * (codeOf(last, bits) + 1);
}

function codeOf(point: readonly number[], bits: number): number {
  return point.reduce((code, level, axis) => code | (level << (bits * axis)), 0);
}

/**
 * The tables as they stand in memory: for each code of a point its index in the grid, or, off the grid, minus the address of
 * its list; then the lists. A list is the address of its end and then blocks of neighbours, nearest first, equally near ones
 * in order of their index.
 * @param codes of the grid points, by index
 */
export function gridTables(shape: GridShape, codes: Uint16Array): Uint8Array {
  const lists = neighbourLists(shape, codes);
  const block = neighbourBlock(shape);
  const listBytes = (members: Uint16Array): number => 4 + block.bytes * Math.ceil(members.length / TOGETHER);
  const total = [...lists.values()].reduce((sum, members) => sum + listBytes(members), mapBytes(shape));
  const tables = new Uint8Array(total);
  const view = new DataView(tables.buffer);
  codes.forEach((code, index) => view.setInt32(4 * code, index, true));
  let place = mapBytes(shape);
  for (const [code, members] of lists) {
    const end = place + listBytes(members);
    view.setInt32(4 * code, -(shape.address + place), true);
    view.setInt32(place, shape.address + end, true);
    writeNeighbours(view, place + 4, shape, codes, members);
    place = end;
  }
  return tables;
}

function writeNeighbours(
  view: DataView,
  start: number,
  shape: GridShape,
  codes: Uint16Array,
  members: Uint16Array,
): void {
  const { dimensions, bits } = shape;
  const block = neighbourBlock(shape);
  const places = Math.ceil(members.length / TOGETHER) * TOGETHER;
  for (let place = 0; place < places; place++) {
    // The nearest once more where a block has room: it is never better than itself.
    const code = codes[members[place < members.length ? place : 0]];
    const lane = place % TOGETHER;
    const at = start + Math.floor(place / TOGETHER) * block.bytes;
    for (let axis = 0; axis < dimensions; axis++) {
      const level = (code >> (bits * axis)) & ((1 << bits) - 1);
      view.setUint8(at + TOGETHER * axis + lane, 4 * level);
    }
    view.setUint16(at + block.codes + 2 * lane, code, true);
  }
}

/** Indices of the neighbours of every point off the grid, by the point's code. */
export function neighbourLists(shape: GridShape, codes: Uint16Array): Map<number, Uint16Array> {
  const onGrid = new Set(codes);
  const distanceOf = squaredDistances(shape);
  const lists = new Map<number, Uint16Array>();
  const distances = new Uint16Array(codes.length);
  const counts = new Uint16Array(shape.dimensions * (shape.levels - 1) ** 2 + 1);
  for (const code of lattice(shape)) {
    if (onGrid.has(code)) continue;
    counts.fill(0);
    for (let index = 0; index < codes.length; index++) {
      const distance = distanceOf(code, codes[index]);
      distances[index] = distance;
      counts[distance] += 1;
    }
    lists.set(code, nearest(distances, counts, shape.distances));
  }
  return lists;
}

/** Indices by distance, then by themselves, as far as the given number of distances goes; uses `counts` up. */
function nearest(distances: Uint16Array, counts: Uint16Array, wanted: number): Uint16Array {
  let have = 0;
  let total = 0;
  let limit = 0;
  for (; have < wanted && limit < counts.length; limit++) {
    const count = counts[limit];
    if (count > 0) have += 1;
    counts[limit] = total;
    total += count;
  }
  const indices = new Uint16Array(total);
  for (let index = 0; index < distances.length; index++) {
    const distance = distances[index];
    if (distance < limit) indices[counts[distance]++] = index;
  }
  return indices;
}

/** Codes of all points whose coordinates are levels of the grid. */
function lattice({ dimensions, levels, bits }: GridShape): number[] {
  let codes = [0];
  for (let axis = 0; axis < dimensions; axis++) {
    codes = Array.from({ length: levels }, (_, level) =>
      codes.map((code) => code | (level << (bits * axis))),
    ).flat();
  }
  return codes;
}

/** The squared distance between points, in levels, by their codes: each half of the coordinates by a table. */
function squaredDistances({ dimensions, bits }: GridShape): (a: number, b: number) => number {
  const half = (dimensions * bits) / 2;
  const mask = (1 << half) - 1;
  const table = new Uint16Array(1 << (2 * half));
  for (let pair = 0; pair < table.length; pair++) {
    for (let shift = 0; shift < half; shift += bits) {
      const level = (code: number): number => (code >> shift) & ((1 << bits) - 1);
      table[pair] += (level(pair >> half) - level(pair & mask)) ** 2;
    }
  }
  return (a, b) => table[((a & mask) << half) | (b & mask)] + table[((a >> half) << half) | (b >> half)];
}
