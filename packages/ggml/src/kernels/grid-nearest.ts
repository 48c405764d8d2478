/**
 * @file The neighbour of a point that fits weights best: ggml's `iq2_find_best_neighbour` and its kin. The error of a
 * coordinate depends on its level alone, so the few errors that can occur are computed once a search; four neighbours are
 * then summed up side by side, in ggml's order of coordinates, and the first of the best is taken, as there.
 */
import { type GridShape, neighbourBlock } from './grid-tables.js';
import { f32x4, i32, type I32, i32x4, i8x16, type Statement, v128, type V128 } from './instructions.js';
import { give, type Local, loop, WasmFunction } from './wasm.js';

/** Vectors that hold a float for each level. */
export function levelVectors({ levels }: GridShape): number {
  return Math.ceil(levels / 4);
}

const LARGEST_FLOAT = (2 - 2 ** -23) * 2 ** 127;

/**
 * `nearest(list, values, weights, ...scaled)`: the code of the best of a list's points for `dimensions` values with their
 * weights, where `scaled` are the values that the levels stand for.
 */
export function makeNearest(shape: GridShape): WasmFunction<'i32'> {
  const parts = levelVectors(shape);
  const { dimensions } = shape;
  const block = neighbourBlock(shape);
  const scaledTypes = Array.from({ length: parts }, () => 'v128' as const);
  const fn = new WasmFunction(['i32', 'i32', 'i32', ...scaledTypes], 'i32');
  const [list, values, weights] = [0, 1, 2].map((index) => fn.parameter(index, 'i32'));
  const scaled = scaledTypes.map((type, index) => fn.parameter(3 + index, type));
  const errors = Array.from({ length: dimensions }, () => scaled.map(() => fn.local('v128')));
  const [at, end] = [0, 1].map(() => fn.local('i32'));
  const [difference, lanes, sum, least, place, better] = Array.from({ length: 6 }, () => fn.local('v128'));
  const levels = Array.from({ length: dimensions / 4 }, () => fn.local('v128'));
  const errorOf = (axis: number): Statement[] =>
    scaled.flatMap((vector, part) => [
      difference.set(f32x4.sub(vector, v128.loadSplat32(values, 4 * axis))),
      errors[axis][part].set(
        f32x4.mul(f32x4.mul(v128.loadSplat32(weights, 4 * axis), difference), difference),
      ),
    ]);
  const found = (axis: number): V128 => {
    const byte = 4 * (axis % 4);
    const four = levels[Math.floor(axis / 4)];
    const spread = Uint8Array.from({ length: 16 }, (_, index) => byte + Math.floor(index / 4));
    return pick(errors[axis], v128.or(i8x16.swizzle(four, v128.const(spread)), lanes));
  };
  fn.add(
    ...errors.flatMap((_, axis) => errorOf(axis)),
    lanes.set(i32x4.const(0x03020100)),
    least.set(f32x4.const(LARGEST_FLOAT)),
    end.set(i32.load(list)),
    at.set(i32.add(list, i32.const(4))),
    place.set(i32x4.splat(at)),
    loop(at, block.bytes, end, [
      ...levels.map((four, index) => four.set(v128.load(at, 16 * index))),
      sum.set(found(0)),
      ...errors.slice(1).map((_, index) => sum.set(f32x4.add(sum, found(index + 1)))),
      better.set(f32x4.lt(sum, least)),
      least.set(f32x4.pmin(least, sum)),
      place.set(v128.select(better, i32x4.splat(at), place)),
    ]),
    ...firstOfLeast(least, place, difference),
    give(i32.load16U(i32x4.lane(place, 0), block.codes)),
  );
  return fn;
}

/** The floats at byte offsets within 16 or 32 bytes. */
function pick(table: readonly V128[], offsets: V128): V128 {
  const [low, high] = table;
  if (high === undefined) return i8x16.swizzle(low, offsets);
  // Offsets outside of a vector give zero.
  return v128.or(i8x16.swizzle(low, offsets), i8x16.swizzle(high, v128.xor(offsets, i8x16.splat(16))));
}

/** Leaves the place of the least lane in all lanes of `place`, of equal ones the first: lane after lane within a block. */
function firstOfLeast(least: Local<'v128'>, place: Local<'v128'>, overall: Local<'v128'>): Statement[] {
  const turned = (vector: V128, bytes: number): V128 =>
    i8x16.shuffle(
      vector,
      vector,
      Array.from({ length: 16 }, (_, index) => (index + bytes) % 16),
    );
  const laneOffsets = v128.const(new Uint8Array(Int32Array.of(0, 2, 4, 6).buffer));
  return [
    overall.set(f32x4.pmin(least, turned(least, 8))),
    overall.set(f32x4.pmin(overall, turned(overall, 4))),
    place.set(v128.select(f32x4.eq(least, overall), i32x4.add(place, laneOffsets), i32x4.const(0x7fffffff))),
    place.set(i32x4.minS(place, turned(place, 8))),
    place.set(i32x4.minS(place, turned(place, 4))),
  ];
}

/** What the level on an axis of a code stands for, 2 l + 1, as a float. */
export function oddLevel({ bits }: GridShape, code: V128, axis: number): V128 {
  const doubled = axis === 0 ? i32x4.shl(code, 1) : i32x4.shrU(code, bits * axis - 1);
  const mask = i32x4.const(((1 << bits) - 1) << 1);
  return f32x4.fromI32x4(v128.or(v128.and(doubled, mask), i32x4.const(1)));
}

/** The address of a code's entry in the map. */
export function mapEntry(code: I32): I32 {
  return i32.shl(code, i32.const(2));
}
