/**
 * @file The best split of 16 ordered weights into three levels, as in ggml's `quantize_row_iq1_m_impl`: every pair of places,
 * with the two groups of eight shifted up or down each. The four choices of shifts are the four lanes. What a weight adds at a
 * level is computed once; sums over the lowest and middle levels grow from split to split, as their order allows.
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
import { type Local, loop, loopWhile, type WasmFunction, when } from './wasm.js';

const SIZE = 16;
/** Bytes from a weight's terms to the next: a vector a level, and one of nothing. */
const TERM = 64;
const END = TERM * SIZE;
/** -FLT_MAX */
const WORST = -(2 - 2 ** -23) * 2 ** 127;

const zero = i32.const(0);

function constant(values: readonly number[]): V128 {
  return v128.const(new Uint8Array(Float32Array.from(values).buffer));
}

/** What each weight in order adds to the sums, at `PRODUCT_TERMS` and `SQUARE_TERMS`. */
export function splitTerms(fn: WasmFunction<ValueType | null>, x: I32): Statement[] {
  const [place, index, at, to] = Array.from({ length: 4 }, () => fn.local('i32'));
  const [value, weight, weighted, shift, level] = Array.from({ length: 5 }, () => fn.local('v128'));
  const shifts = [
    [DELTA, DELTA, -DELTA, -DELTA],
    [DELTA, -DELTA, DELTA, -DELTA],
  ].map(constant);
  const isSecond = f32x4.gt(f32x4.splat(f32.fromI32(index)), f32x4.const(7));
  return [
    place.set(zero),
    to.set(zero),
    loop(place, 4, i32.const(4 * SIZE), [
      index.set(i32.load(place, layout.ORDER)),
      at.set(i32.shl(index, i32.const(2))),
      value.set(v128.loadSplat32(i32.add(x, at))),
      weight.set(v128.loadSplat32(at, layout.WEIGHTS)),
      shift.set(v128.select(isSecond, shifts[1], shifts[0])),
      ...[-1, 0, 1].flatMap((unshifted, which) => [
        level.set(f32x4.add(f32x4.const(unshifted), shift)),
        weighted.set(f32x4.mul(weight, level)),
        v128.store(to, f32x4.mul(weighted, value), layout.PRODUCT_TERMS + 16 * which),
        v128.store(to, f32x4.mul(weighted, level), layout.SQUARE_TERMS + 16 * which),
      ]),
      to.set(i32.add(to, i32.const(TERM))),
    ]),
  ];
}

/** Sums of products and of squares. */
interface Sums {
  readonly products: Local<'v128'>;
  readonly squares: Local<'v128'>;
}

function addTerm({ products, squares }: Sums, place: I32, level: number): Statement[] {
  return [
    products.set(f32x4.add(products, v128.load(place, layout.PRODUCT_TERMS + 16 * level))),
    squares.set(f32x4.add(squares, v128.load(place, layout.SQUARE_TERMS + 16 * level))),
  ];
}

function copy(from: Sums, to: Sums): Statement[] {
  return [to.products.set(from.products), to.squares.set(from.squares)];
}

/** Leaves the best split in its variables. */
export class PairSplitSearch implements SplitFinder {
  readonly first: Local<'i32'>;
  readonly second: Local<'i32'>;
  readonly scale: Local<'f32'>;
  /** Whether the first group is shifted down, times 2, plus whether the second is. */
  readonly down: Local<'i32'>;
  private readonly best: Local<'f32'>;
  private readonly places: readonly Local<'i32'>[];
  private readonly lowest: Sums;
  private readonly middle: Sums;
  private readonly all: Sums;

  constructor(fn: WasmFunction<ValueType | null>) {
    [this.first, this.second, this.down] = [0, 1, 2].map(() => fn.local('i32'));
    [this.scale, this.best] = [0, 1].map(() => fn.local('f32'));
    this.places = Array.from({ length: 3 }, () => fn.local('i32'));
    [this.lowest, this.middle, this.all] = Array.from({ length: 3 }, () => ({
      products: fn.local('v128'),
      squares: fn.local('v128'),
    }));
  }

  run(): Statement[] {
    const { all, best, first, lowest, middle } = this;
    const [i1, i2, rest] = this.places;
    const { products, squares } = all;
    const better = v128.and(
      f32x4.gt(squares, f32x4.const(0)),
      f32x4.gt(f32x4.mul(products, products), f32x4.mul(f32x4.splat(best), squares)),
    );
    const inside = (place: I32): I32 => i32.ltU(place, i32.const(END));
    return [
      best.set(f32.const(WORST)),
      first.set(i32.const(-1)),
      lowest.products.set(f32x4.const(0)),
      lowest.squares.set(f32x4.const(0)),
      i1.set(zero),
      loop(i1, TERM, i32.const(END + TERM), [
        ...copy(lowest, middle),
        i2.set(i1),
        loop(i2, TERM, i32.const(END + TERM), [
          ...copy(middle, all),
          rest.set(i2),
          loopWhile(inside(rest), [...addTerm(all, rest, 2), rest.set(i32.add(rest, i32.const(TERM)))]),
          when(
            v128.anyTrue(better),
            [0, 1, 2, 3].map((lane) => this.take(lane)),
          ),
          when(inside(i2), addTerm(middle, i2, 1)),
        ]),
        when(inside(i1), addTerm(lowest, i1, 0)),
      ]),
    ];
  }

  /** Takes a choice of shifts that is better than the best so far. */
  private take(lane: number): Statement {
    const { all, best, down, first, scale, second } = this;
    const [i1, i2] = this.places;
    const inOrder = (place: I32): I32 => i32.shrU(place, i32.const(Math.log2(TERM / 4)));
    const products = f32x4.lane(all.products, lane);
    const squares = f32x4.lane(all.squares, lane);
    const improves = i32.and(
      f32.gt(squares, f32.const(0)),
      f32.gt(f32.mul(products, products), f32.mul(best, squares)),
    );
    return when(improves, [
      scale.set(f32.div(products, squares)),
      best.set(f32.mul(scale, products)),
      first.set(inOrder(i1)),
      second.set(inOrder(i2)),
      down.set(i32.const(lane)),
    ]);
  }
}
