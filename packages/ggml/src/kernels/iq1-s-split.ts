/**
 * @file The best split of 32 ordered weights into three levels, as in ggml's `quantize_row_iq1_s_impl`: every pair of places
 * and both shifts, by sums over the first weights. Four splits are compared with the best so far side by side, and one by one,
 * in ggml's order, only where one of them is better.
 */
import * as layout from './grid-layout.js';
import type { SplitFinder } from './iq1-search.js';
import { DELTA } from './ternary.js';
import {
  f32,
  f32x4,
  i32,
  type I32,
  type Statement,
  v128,
  type V128,
  type ValueType,
} from './instructions.js';
import { type Local, loop, type WasmFunction, when } from './wasm.js';

const END = 4 * 32;
/** -FLT_MAX */
const WORST = -(2 - 2 ** -23) * 2 ** 127;

const zero = i32.const(0);

/** Sums over the first values in order, and of their weights. */
export function prefixSums(fn: WasmFunction<ValueType | null>, x: I32): Statement[] {
  const [place, at] = [0, 1].map(() => fn.local('i32'));
  const [values, weights] = [0, 1].map(() => fn.local('f32'));
  const weight = f32.load(at, layout.WEIGHTS);
  const store = (address: I32, offset: number): Statement[] => [
    f32.store(address, values, layout.VALUE_SUMS + offset),
    f32.store(address, weights, layout.WEIGHT_SUMS + offset),
  ];
  return [
    values.set(f32.const(0)),
    weights.set(f32.const(0)),
    ...store(zero, 0),
    place.set(zero),
    loop(place, 4, i32.const(END), [
      at.set(i32.shl(i32.load(place, layout.ORDER), i32.const(2))),
      values.set(f32.add(values, f32.mul(weight, f32.load(i32.add(x, at))))),
      weights.set(f32.add(weights, weight)),
      ...store(place, 4),
    ]),
    // What vectors read beyond the end.
    ...[4, 8, 12].flatMap((beyond) => store(i32.const(END), beyond)),
  ];
}

/** One shift: the values of its levels, and the sums of four splits under it. */
interface Shift {
  readonly levels: readonly number[];
  readonly products: Local<'v128'>;
  readonly squares: Local<'v128'>;
}

/** Leaves the best split in its variables. */
export class SplitSearch implements SplitFinder {
  readonly first: Local<'i32'>;
  readonly second: Local<'i32'>;
  readonly scale: Local<'f32'>;
  /** 1 where levels are shifted down. */
  readonly down: Local<'i32'>;
  private readonly shifts: readonly Shift[];
  private readonly best: Local<'f32'>;
  private readonly i1: Local<'i32'>;
  private readonly i2: Local<'i32'>;

  constructor(fn: WasmFunction<ValueType | null>) {
    [this.first, this.second, this.down, this.i1, this.i2] = Array.from({ length: 5 }, () => fn.local('i32'));
    [this.scale, this.best] = [0, 1].map(() => fn.local('f32'));
    this.shifts = [DELTA, -DELTA].map((delta) => ({
      levels: [-1 + delta, delta, 1 + delta],
      products: fn.local('v128'),
      squares: fn.local('v128'),
    }));
  }

  run(fn: WasmFunction<ValueType | null>): Statement[] {
    const { best, first, i1, i2, shifts } = this;
    const better = shifts.map(({ products, squares }) =>
      v128.and(
        f32x4.gt(squares, f32x4.const(0)),
        f32x4.gt(f32x4.mul(products, products), f32x4.mul(f32x4.splat(best), squares)),
      ),
    );
    const parts = this.parts(fn);
    return [
      best.set(f32.const(WORST)),
      first.set(i32.const(-1)),
      i1.set(zero),
      loop(i1, 4, i32.const(END + 4), [
        ...parts.begin,
        i2.set(i1),
        loop(i2, 16, i32.const(END + 4), [
          ...parts.sums,
          when(
            v128.anyTrue(better.reduce(v128.or)),
            [0, 1, 2, 3].map((lane) => when(i32.ltU(i2, i32.const(END + 4 - 4 * lane)), this.take(lane))),
          ),
        ]),
      ]),
    ];
  }

  /** The sums of a split, from those up to its two places and over all. */
  private parts(fn: WasmFunction<ValueType | null>): { begin: Statement[]; sums: Statement[] } {
    const { i1, i2, shifts } = this;
    const tables = [layout.VALUE_SUMS, layout.WEIGHT_SUMS].map((table) => ({
      table,
      upToFirst: fn.local('v128'),
      all: fn.local('v128'),
      upToSecond: fn.local('v128'),
      middle: fn.local('v128'),
      last: fn.local('v128'),
    }));
    const lowest = shifts.map(() => tables.map(() => fn.local('v128')));
    const times = (sum: V128, level: number, square: boolean): V128 => {
      const once = f32x4.mul(sum, f32x4.const(level));
      return square ? f32x4.mul(once, f32x4.const(level)) : once;
    };
    const begin = [
      ...tables.flatMap(({ table, upToFirst, all }) => [
        upToFirst.set(v128.loadSplat32(i1, table)),
        all.set(v128.loadSplat32(zero, table + END)),
      ]),
      ...shifts.flatMap(({ levels }, shift) =>
        tables.map(({ upToFirst }, index) =>
          lowest[shift][index].set(times(upToFirst, levels[0], index === 1)),
        ),
      ),
    ];
    const sums = [
      ...tables.flatMap(({ table, upToFirst, all, upToSecond, middle, last }) => [
        upToSecond.set(v128.load(i2, table)),
        middle.set(f32x4.sub(upToSecond, upToFirst)),
        last.set(f32x4.sub(all, upToSecond)),
      ]),
      ...shifts.flatMap(({ levels, products, squares }, shift) =>
        tables.map(({ middle, last }, index) => {
          const upToLast = f32x4.add(lowest[shift][index], times(middle, levels[1], index === 1));
          const sum = f32x4.add(upToLast, times(last, levels[2], index === 1));
          return (index === 0 ? products : squares).set(sum);
        }),
      ),
    ];
    return { begin, sums };
  }

  /** Takes the splits of a lane that are better than the best so far, one after the other. */
  private take(lane: number): Statement[] {
    const { best, down, first, i1, i2, scale, second, shifts } = this;
    return shifts.map((shift, index) => {
      const [products, squares] = [shift.products, shift.squares].map((sum) => f32x4.lane(sum, lane));
      const improves = i32.and(
        f32.gt(squares, f32.const(0)),
        f32.gt(f32.mul(products, products), f32.mul(best, squares)),
      );
      return when(improves, [
        scale.set(f32.div(products, squares)),
        best.set(f32.mul(scale, products)),
        first.set(i1),
        second.set(i32.add(i2, i32.const(4 * lane))),
        down.set(i32.const(index)),
      ]);
    });
  }
}
