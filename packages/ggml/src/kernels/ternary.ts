/**
 * @file What the kernels of IQ1_S and IQ1_M share: weights of errors, the order of values, and what follows the choice of
 * which of them get which of the three levels. Levels are -1, 0 and 1, shifted by an eighth up or down, a group at a time.
 */
import { errorWeights, type ErrorWeights } from './error-weights.js';
import * as layout from './grid-layout.js';
import { mapEntry } from './grid-nearest.js';
import { gridShapes } from './grids.js';
import {
  f32,
  type F32,
  f32x4,
  i32,
  type I32,
  type Statement,
  v128,
  type V128,
  type ValueType,
} from './instructions.js';
import { choose, give, type Local, loop, loopWhile, result, WasmFunction, when } from './wasm.js';

/** `IQ1S_DELTA`, `IQ1M_DELTA` */
export const DELTA = 0.125;

const zero = i32.const(0);

/** `weigh(values, importance, sigma2)`: how much the errors of `size` values matter; gives the largest magnitude. */
export function makeWeigh(size: number, errors: ErrorWeights): WasmFunction<'f32'> {
  const fn = new WasmFunction(['i32', 'i32', 'f32'], 'f32');
  const [x, importance] = [0, 1].map((index) => fn.parameter(index, 'i32'));
  const sigma2 = f32x4.splat(fn.parameter(2, 'f32'));
  const [value, largest] = [0, 1].map(() => fn.local('v128'));
  fn.add(largest.set(f32x4.const(0)));
  for (let at = 0; at < 4 * size; at += 16) {
    fn.add(
      value.set(v128.load(x, at)),
      v128.store(zero, errorWeights(errors, value, sigma2, importance, at), layout.WEIGHTS + at),
      largest.set(f32x4.pmax(largest, f32x4.abs(value))),
    );
  }
  const lanes = [0, 1, 2, 3].map((lane) => f32x4.lane(largest, lane));
  fn.add(give(lanes.reduce((a, b) => choose(f32.gt(a, b), a, b))));
  return fn;
}

/** `sort(values)`: the order of `size` values, at `ORDER` and `ORDERED`; equal ones stay in theirs, as in glibc's `qsort`. */
export function makeSort(size: number): WasmFunction<null> {
  const fn = new WasmFunction(['i32'], null);
  const values = fn.parameter(0, 'i32');
  const [index, place] = [0, 1].map(() => fn.local('i32'));
  const value = fn.local('f32');
  const before = f32.load(place, layout.ORDERED - 4);
  fn.add(
    index.set(zero),
    loop(index, 1, i32.const(size), [
      place.set(i32.shl(index, i32.const(2))),
      value.set(f32.load(i32.add(values, place))),
      loopWhile(i32.and(i32.ne(place, zero), f32.gt(before, value)), [
        f32.store(place, before, layout.ORDERED),
        i32.store(place, i32.load(place, layout.ORDER - 4), layout.ORDER),
        place.set(i32.sub(place, i32.const(4))),
      ]),
      f32.store(place, value, layout.ORDERED),
      i32.store(place, index, layout.ORDER),
    ]),
  );
  return fn;
}

/**
 * A split of ordered values into levels: those before `first` get the lowest, those from `second` on the highest (in bytes,
 * 4 a value). `first` is -1 where none was found.
 */
export interface Split {
  readonly first: Local<'i32'>;
  readonly second: Local<'i32'>;
  readonly scale: Local<'f32'>;
}

/** Codes of the groups at `BEST_FOUND` by a split; by its mirror image where `mirrored`. */
export function codesOfSplit(
  fn: WasmFunction<ValueType | null>,
  size: number,
  { first, second }: Split,
  mirrored: Local<'i32'>,
): Statement[] {
  const [place, index, level, group] = Array.from({ length: 4 }, () => fn.local('i32'));
  const below = i32.add(i32.ltU(place, first), i32.ltU(place, second));
  const axis = i32.and(i32.shl(index, i32.const(1)), i32.const(14));
  return [
    ...Array.from({ length: size / 8 }, (_, each) => i32.store(zero, zero, layout.BEST_FOUND + 4 * each)),
    place.set(zero),
    loop(place, 4, i32.const(4 * size), [
      index.set(i32.load(place, layout.ORDER)),
      level.set(choose(mirrored, below, i32.sub(i32.const(2), below))),
      group.set(i32.and(i32.shrU(index, i32.const(1)), i32.const(0xfc))),
      i32.store(group, i32.or(i32.load(group, layout.BEST_FOUND), i32.shl(level, axis)), layout.BEST_FOUND),
    ]),
  ];
}

/** What the three levels stand for, with a shift. */
function shiftedLevels(delta: F32): V128 {
  const levels = new Uint8Array(Float32Array.of(-1, 0, 1, 0).buffer);
  return f32x4.add(v128.const(levels), f32x4.splat(delta));
}

/** What the level of a weight of a group stands for; `axis` is twice its place. */
export function levelValue(code: I32, axis: I32, delta: F32): F32 {
  const level = i32.and(i32.shrU(code, axis), i32.const(3));
  return f32.add(f32.fromI32(i32.sub(level, i32.const(1))), delta);
}

/** Sums over a sub-block of value x level and level^2, weighted, for the points at `BEST_FOUND`. */
function sumsOfPoints(
  fn: WasmFunction<ValueType | null>,
  size: number,
  x: I32,
  { products, squares }: { readonly products: Local<'f32'>; readonly squares: Local<'f32'> },
): Statement[] {
  const [code, axis, at] = Array.from({ length: 3 }, () => fn.local('i32'));
  const [level, weighted, delta] = Array.from({ length: 3 }, () => fn.local('f32'));
  const groups = Array.from({ length: size / 8 }, (_, group) => [
    code.set(i32.load(zero, layout.BEST_FOUND + 4 * group)),
    delta.set(f32.load(zero, layout.DELTAS + 4 * group)),
    axis.set(zero),
    loop(axis, 2, i32.const(16), [
      at.set(i32.add(i32.shl(axis, i32.const(1)), i32.const(32 * group))),
      level.set(levelValue(code, axis, delta)),
      weighted.set(f32.mul(f32.load(at, layout.WEIGHTS), level)),
      products.set(f32.add(products, f32.mul(weighted, f32.load(i32.add(x, at))))),
      squares.set(f32.add(squares, f32.mul(weighted, level))),
    ]),
  ]);
  return [products.set(f32.const(0)), squares.set(f32.const(0)), ...groups.flat()];
}

/**
 * `settle(values, scale)`: exchanges points off the grid for neighbours, by the groups' shifts at `DELTAS`; gives the scale
 * that then fits best.
 */
export function makeSettle(size: number, nearest: WasmFunction<'i32'>): WasmFunction<'f32'> {
  const fn = new WasmFunction(['i32', 'f32'], 'f32');
  const x = fn.parameter(0, 'i32');
  const scale = fn.parameter(1, 'f32');
  const [entry, moved] = [0, 1].map(() => fn.local('i32'));
  const [products, squares] = [0, 1].map(() => fn.local('f32'));
  fn.add(moved.set(zero));
  for (let group = 0; group < size / 8; group++) {
    const scaled = f32x4.mul(f32x4.splat(scale), shiftedLevels(f32.load(zero, layout.DELTAS + 4 * group)));
    const place = layout.BEST_FOUND + 4 * group;
    const values = i32.add(x, i32.const(32 * group));
    const weights = i32.const(layout.WEIGHTS + 32 * group);
    const neighbour = result(nearest, i32.sub(zero, entry), values, weights, scaled);
    fn.add(
      entry.set(i32.load(mapEntry(i32.load(zero, place)), gridShapes.IQ1_S.address)),
      when(i32.ltS(entry, zero), [moved.set(i32.const(1)), i32.store(zero, neighbour, place)]),
    );
  }
  const positive = i32.and(f32.gt(products, f32.const(0)), f32.gt(squares, f32.const(0)));
  fn.add(
    when(moved, [
      ...sumsOfPoints(fn, size, x, { products, squares }),
      when(positive, [scale.set(f32.div(products, squares))]),
    ]),
    give(scale),
  );
  return fn;
}
