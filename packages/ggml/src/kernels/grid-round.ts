/** @file From weights to points of a grid: rounding, exchanging for neighbours, and how well the points fit. */
import * as layout from './grid-layout.js';
import { levelVectors, mapEntry, oddLevel } from './grid-nearest.js';
import type { GridShape } from './grid-tables.js';
import { clampInteger, nearestInteger } from './vectors.js';
import { f32x4, i32, i32x4, v128, type V128 } from './instructions.js';
import { give, result, WasmFunction, when } from './wasm.js';

const zero = i32.const(0);

/** `codes(inverse, values)`: the codes of the points that values are rounded to by each of four inverse scales. */
export function makeRounding({ dimensions, levels, bits }: GridShape): WasmFunction<'v128'> {
  const fn = new WasmFunction(['v128', 'i32'], 'v128');
  const inverse = fn.parameter(0, 'v128');
  const values = fn.parameter(1, 'i32');
  const codes = fn.local('v128');
  // ggml halves the difference; halving before it changes no bit.
  const level = (axis: number): V128 => {
    const halved = f32x4.mul(inverse, v128.loadSplat32(values, 4 * axis));
    return clampInteger(nearestInteger(f32x4.sub(halved, f32x4.const(0.5))), levels - 1);
  };
  fn.add(inverse.set(f32x4.mul(inverse, f32x4.const(0.5))), codes.set(level(0)));
  for (let axis = 1; axis < dimensions; axis++)
    fn.add(codes.set(v128.or(codes, i32x4.shl(level(axis), bits * axis))));
  fn.add(give(codes));
  return fn;
}

/** `snap(code, values, roots, scale)`: the code itself if its point is on the grid, else that of the best neighbour. */
export function makeSnap(grid: GridShape, nearest: WasmFunction<'i32'>): WasmFunction<'i32'> {
  const fn = new WasmFunction(['i32', 'i32', 'i32', 'f32'], 'i32');
  const [code, values, roots] = [0, 1, 2].map((index) => fn.parameter(index, 'i32'));
  const scale = fn.parameter(3, 'f32');
  const entry = fn.local('i32');
  const scaled = Array.from({ length: levelVectors(grid) }, (_, part) => {
    const odd = Float32Array.from({ length: 4 }, (__, index) => 2 * (4 * part + index) + 1);
    return f32x4.mul(f32x4.splat(scale), v128.const(new Uint8Array(odd.buffer)));
  });
  fn.add(
    entry.set(i32.load(mapEntry(code), grid.address)),
    when(i32.ltS(entry, zero), [give(result(nearest, i32.sub(zero, entry), values, roots, ...scaled))]),
    give(code),
  );
  return fn;
}

/** `sums()`: of value x level and level^2, weighted, for the codes of four steps at `FOUND`. */
export function makeSums(grid: GridShape, size: number): WasmFunction<null> {
  const fn = new WasmFunction([], null);
  const [products, squares, code, level] = Array.from({ length: 4 }, () => fn.local('v128'));
  fn.add(products.set(f32x4.const(0)), squares.set(f32x4.const(0)));
  for (let i = 0; i < size; i++) {
    const axis = i % grid.dimensions;
    if (axis === 0) fn.add(code.set(v128.load(zero, layout.FOUND + 16 * (i / grid.dimensions))));
    const weighted = f32x4.mul(v128.loadSplat32(zero, layout.WEIGHTS + 4 * i), level);
    fn.add(
      level.set(oddLevel(grid, code, axis)),
      products.set(f32x4.add(products, f32x4.mul(v128.loadSplat32(zero, layout.PRODUCTS + 4 * i), level))),
      squares.set(f32x4.add(squares, f32x4.mul(weighted, level))),
    );
  }
  fn.add(v128.store(zero, products, layout.SUM_PRODUCTS), v128.store(zero, squares, layout.SUM_SQUARES));
  return fn;
}
