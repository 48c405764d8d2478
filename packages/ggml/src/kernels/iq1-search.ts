/**
 * @file The search of a sub-block that IQ1_S and IQ1_M share: the best split of its values in order into three levels, the levels as
 * points of the grid, and the scale that suits those. What the types differ in is how splits are summed and which groups are shifted.
 */
import * as layout from './grid-layout.js';
import { makeNearest } from './grid-nearest.js';
import { gridShapes } from './grids.js';
import { f32, type F32, i32, type I32, type Statement, type ValueType } from './instructions.js';
import { codesOfSplit, makeSettle, makeSort, type Split } from './ternary.js';
import { call, give, type Local, result, WasmFunction, when } from './wasm.js';

/** A search for the best split, whose result stands in variables. */
export interface SplitFinder extends Split {
  /** -1 where there is none. */
  readonly first: Local<'i32'>;
  readonly scale: Local<'f32'>;
  /** A bit for each shift: set where it is down. */
  readonly down: Local<'i32'>;
  run(fn: WasmFunction<ValueType | null>): Statement[];
}

export interface SplitSpec {
  readonly size: number;
  /** Sub-blocks of smaller values have no codes. */
  readonly least: number;
  readonly weigh: WasmFunction<'f32'>;
  /** Sums that splits are compared by. */
  readonly sums: (fn: WasmFunction<ValueType | null>, x: I32) => Statement[];
  readonly finder: (fn: WasmFunction<ValueType | null>) => SplitFinder;
  /** All bits of `down`. */
  readonly shifts: number;
  /** The shift of every group of eight. */
  readonly deltas: (down: I32) => readonly F32[];
}

/** `search(values, importance, sigma2, offset)`: codes, scale and shifts of a sub-block; 0 where it has no codes. */
export function makeSplitSearch(spec: SplitSpec): {
  helpers: WasmFunction<ValueType | null>[];
  search: WasmFunction<'i32'>;
} {
  const { size, weigh, shifts } = spec;
  const sort = makeSort(size);
  const nearest = makeNearest(gridShapes.IQ1_S);
  const settle = makeSettle(size, nearest);
  const fn = new WasmFunction(['i32', 'i32', 'f32', 'i32'], 'i32');
  const [x, importance] = [0, 1].map((index) => fn.parameter(index, 'i32'));
  const sigma2 = fn.parameter(2, 'f32');
  const offset = fn.parameter(3, 'i32');
  const mirrored = fn.local('i32');
  const split = spec.finder(fn);
  const { down, first, scale } = split;
  const zero = i32.const(0);
  const without = [
    f32.store(offset, f32.const(0), layout.SCALES),
    i32.store(offset, zero, layout.SHIFTS),
    give(zero),
  ];
  fn.add(
    when(f32.lt(result(weigh, x, importance, sigma2), f32.const(spec.least)), without),
    call(sort, x),
    ...spec.sums(fn, x),
    ...split.run(fn),
    when(i32.ltS(first, zero), without),
    mirrored.set(f32.lt(scale, f32.const(0))),
    ...codesOfSplit(fn, size, split, mirrored),
    when(mirrored, [scale.set(f32.neg(scale)), down.set(i32.xor(down, i32.const(shifts)))]),
    ...spec.deltas(down).map((delta, group) => f32.store(zero, delta, layout.DELTAS + 4 * group)),
    f32.store(offset, result(settle, x, scale), layout.SCALES),
    i32.store(offset, down, layout.SHIFTS),
    give(i32.const(1)),
  );
  return { helpers: [sort, nearest, settle], search: fn };
}
