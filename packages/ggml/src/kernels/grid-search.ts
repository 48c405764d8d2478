/**
 * @file The search for the scale of a sub-block whose weights are coded as points of a grid, as in ggml's encoders of the
 * IQ2 and IQ3 types: steps of inverse scales are tried, four of them side by side; each group of weights is rounded to a
 * point, points off the grid go to a neighbour, and the step with the best weighted fit is kept and once more refined.
 */
import * as layout from './grid-layout.js';
import { levelVectors, makeNearest, mapEntry, oddLevel } from './grid-nearest.js';
import { gridPlaces, type GridShape } from './grid-tables.js';
import { makeScaleCoder } from './scale-codes.js';
import { clampInteger, nearestInteger } from './vectors.js';
import {
  f32,
  type F32,
  f32x4,
  i32,
  type I32,
  i32x4,
  type Statement,
  v128,
  type V128,
  type ValueType,
} from './instructions.js';
import { call, choose, give, type Local, loop, result, WasmFunction, when } from './wasm.js';

/** What the formats differ in. */
export interface GridSearch {
  readonly grid: GridShape;
  /** Weights of a sub-block. */
  readonly size: 16 | 32;
  /** Steps to each side of the largest level, and their width. */
  readonly steps: number;
  readonly stepWidth: number;
  /** Sub-blocks whose largest magnitude is less than this have no codes; null: only those without any. */
  readonly least: number | null;
  /** Whether an even number of each eight weights is negative: the least important changes sign where they are odd. */
  readonly evenSigns: boolean;
  /** Whether steps are taken around a fit without the grid, instead of the largest weight. */
  readonly fitFirst: boolean;
  /** Which groups are rounded again by the scale found: all; those off the grid; all, if one is off the grid. */
  readonly refine: 'all' | 'off the grid' | 'all if any';
}

export interface SearchFunctions {
  /** What `search` calls. */
  readonly helpers: readonly WasmFunction<ValueType | null>[];
  /**
   * `search(values, importance, sigma2, offset)`: leaves codes at `BEST_FOUND`, signs at `SIGNS`, and the scale at `SCALES` +
   * `offset`; 0 where the sub-block has no codes.
   */
  readonly search: WasmFunction<'i32'>;
}

const zero = i32.const(0);

/** Numerators of the inverse scales, in vectors of four: the last repeated, which changes nothing. */
export function gridSteps({ grid, steps, stepWidth }: GridSearch): Float32Array {
  const count = Math.ceil((2 * steps + 1) / 4) * 4;
  const top = 2 * grid.levels - 1;
  return Float32Array.from({ length: count }, (_, index) => {
    const step = Math.min(index - steps, steps);
    return top + Math.fround(step * Math.fround(stepWidth));
  });
}

/** `codes(inverse, values)`: the codes of the points that values are rounded to by each of four inverse scales. */
function makeRounding({ dimensions, levels, bits }: GridShape): WasmFunction<'v128'> {
  const fn = new WasmFunction(['v128', 'i32'], 'v128');
  const inverse = fn.parameter(0, 'v128');
  const values = fn.parameter(1, 'i32');
  const codes = fn.local('v128');
  const level = (axis: number): V128 => {
    const scaled = f32x4.sub(f32x4.mul(inverse, v128.loadSplat32(values, 4 * axis)), f32x4.const(1));
    return clampInteger(nearestInteger(f32x4.mul(f32x4.const(0.5), scaled)), levels - 1);
  };
  fn.add(codes.set(level(0)));
  for (let axis = 1; axis < dimensions; axis++)
    fn.add(codes.set(v128.or(codes, i32x4.shl(level(axis), bits * axis))));
  fn.add(give(codes));
  return fn;
}

/** `snap(code, values, roots, scale)`: the code itself if its point is on the grid, else that of the best neighbour. */
function makeSnap(grid: GridShape, nearest: WasmFunction<'i32'>): WasmFunction<'i32'> {
  const fn = new WasmFunction(['i32', 'i32', 'i32', 'f32'], 'i32');
  const [code, values, roots] = [0, 1, 2].map((index) => fn.parameter(index, 'i32'));
  const scale = fn.parameter(3, 'f32');
  const entry = fn.local('i32');
  const scaled = Array.from({ length: levelVectors(grid) }, (_, part) => {
    const odd = Float32Array.from({ length: 4 }, (__, index) => 2 * (4 * part + index) + 1);
    return f32x4.mul(f32x4.splat(scale), v128.const(new Uint8Array(odd.buffer)));
  });
  fn.add(
    entry.set(i32.load(mapEntry(code), gridPlaces(grid).map)),
    when(i32.ltS(entry, zero), [give(result(nearest, i32.sub(zero, entry), values, roots, ...scaled))]),
    give(code),
  );
  return fn;
}

/** `sums()`: of value x level and level^2, weighted, for the codes of four steps at `FOUND`. */
function makeSums({ grid, size }: GridSearch): WasmFunction<null> {
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

/** `leastImportant(values, weights)`: which of eight values adds the least weighted square, the first of equals. */
function makeLeastImportant(): WasmFunction<'i32'> {
  const fn = new WasmFunction(['i32', 'i32'], 'i32');
  const [values, weights] = [0, 1].map((index) => fn.parameter(index, 'i32'));
  const found = fn.local('i32');
  const [least, square] = [0, 1].map(() => fn.local('f32'));
  const squareOf = (index: number): F32 => {
    const value = f32.load(values, 4 * index);
    return f32.mul(f32.mul(f32.load(weights, 4 * index), value), value);
  };
  fn.add(found.set(zero), least.set(squareOf(0)));
  for (let index = 1; index < 8; index++) {
    fn.add(
      square.set(squareOf(index)),
      when(f32.lt(square, least), [least.set(square), found.set(i32.const(index))]),
    );
  }
  fn.add(give(found));
  return fn;
}

/** `prepare(values, importance, sigma2)`: magnitudes, signs and weights of a sub-block; gives its largest value. */
function makePrepare(
  { size, evenSigns }: GridSearch,
  leastImportant: WasmFunction<'i32'>,
): WasmFunction<'f32'> {
  const fn = new WasmFunction(['i32', 'i32', 'f32'], 'f32');
  const [x, importance] = [0, 1].map((index) => fn.parameter(index, 'i32'));
  const sigma2 = f32x4.splat(fn.parameter(2, 'f32'));
  const [value, weight, largest] = Array.from({ length: 3 }, () => fn.local('v128'));
  const [signs, flipped] = [0, 1].map(() => fn.local('i32'));
  for (let i = 0; i < size; i += 4) {
    const squares = f32x4.mul(value, value);
    const negative = i32x4.bitmask(f32x4.lt(value, f32x4.const(0)));
    const [at, half] = [4 * i, i % 8];
    fn.add(
      value.set(v128.load(x, at)),
      weight.set(f32x4.mul(v128.load(importance, at), f32x4.sqrt(f32x4.add(sigma2, squares)))),
      v128.store(zero, f32x4.abs(value), layout.VALUES + at),
      v128.store(zero, weight, layout.WEIGHTS + at),
      v128.store(zero, f32x4.sqrt(weight), layout.ROOTS + at),
      signs.set(half === 0 ? negative : i32.or(signs, i32.shl(negative, i32.const(4)))),
    );
    if (half === 0) continue;
    const first = 4 * (i - 4);
    const flip: Statement[] = [
      flipped.set(result(leastImportant, i32.add(x, i32.const(first)), i32.const(layout.WEIGHTS + first))),
      signs.set(i32.xor(signs, i32.shl(i32.const(1), flipped))),
      flipped.set(i32.shl(flipped, i32.const(2))),
      f32.store(flipped, f32.neg(f32.load(flipped, layout.VALUES + first)), layout.VALUES + first),
    ];
    if (evenSigns) fn.add(when(i32.and(i32.popcnt(signs), i32.const(1)), flip));
    const kept = evenSigns ? i32.and(signs, i32.const(127)) : signs;
    fn.add(i32.store(zero, kept, layout.SIGNS + (i - 4) / 2));
  }
  for (let at = 0; at < 4 * size; at += 16) {
    fn.add(
      value.set(v128.load(zero, layout.VALUES + at)),
      v128.store(zero, f32x4.mul(v128.load(zero, layout.WEIGHTS + at), value), layout.PRODUCTS + at),
      largest.set(at === 0 ? value : f32x4.pmax(largest, value)),
    );
  }
  const lanes = [0, 1, 2, 3].map((lane) => f32x4.lane(largest, lane));
  fn.add(give(lanes.reduce((a, b) => choose(f32.gt(a, b), a, b))));
  return fn;
}

/** The functions and variables of one search. */
class SearchWriter {
  private readonly settings: GridSearch;
  private readonly groups: number;
  private readonly rounding: WasmFunction<'v128'>;
  private readonly snap: WasmFunction<'i32'>;
  private readonly sums: WasmFunction<null>;
  private readonly fn: WasmFunction<'i32'>;
  private readonly scale: Local<'f32'>;
  private readonly span: Local<'f32'>;
  private readonly group: Local<'i32'>;

  constructor(
    fn: WasmFunction<'i32'>,
    settings: GridSearch,
    helpers: {
      readonly rounding: WasmFunction<'v128'>;
      readonly snap: WasmFunction<'i32'>;
      readonly sums: WasmFunction<null>;
    },
  ) {
    this.fn = fn;
    this.settings = settings;
    this.groups = settings.size / settings.grid.dimensions;
    this.rounding = helpers.rounding;
    this.snap = helpers.snap;
    this.sums = helpers.sums;
    [this.scale, this.span] = [0, 1].map(() => fn.local('f32'));
    this.group = fn.local('i32');
  }

  /** Sub-blocks without codes end here; otherwise `scale` and what the steps divide by are set. */
  begin(largest: F32, offset: I32, fit: WasmFunction<'f32'> | null): Statement[] {
    const { scale, span, settings } = this;
    const levels = settings.grid.levels;
    const without = [f32.store(offset, f32.const(0), layout.SCALES), give(zero)];
    const tooSmall =
      settings.least === null ? f32.le(span, f32.const(0)) : f32.lt(span, f32.const(settings.least));
    if (fit === null) {
      return [
        span.set(largest),
        when(tooSmall, without),
        scale.set(f32.div(span, f32.const(2 * levels - 1))),
      ];
    }
    const places = [layout.VALUES, layout.WEIGHTS, layout.FIT_CODES].map((place) => i32.const(place));
    return [
      span.set(largest),
      when(tooSmall, without),
      scale.set(result(fit, ...places)),
      span.set(f32.mul(scale, f32.const(levels))),
      when(f32.le(span, f32.const(0)), without),
    ];
  }

  /** Every group's place in tables of four steps is `group`; its values stand at this offset. */
  private place(table: number): I32 {
    const { group, settings } = this;
    const offset = i32.mul(group, i32.const(settings.grid.dimensions / 4));
    return i32.add(offset, i32.const(table));
  }

  private eachGroup(...body: Statement[]): Statement[] {
    const { group } = this;
    return [group.set(zero), loop(group, 16, i32.const(16 * this.groups), body)];
  }

  private snapped(code: I32, scale: F32): I32 {
    return result(this.snap, code, this.place(layout.VALUES), this.place(layout.ROOTS), scale);
  }

  /** Tries all steps and keeps the best. */
  steps(): Statement[] {
    const { fn, group, groups, scale, span, settings } = this;
    const step = fn.local('i32');
    const [inverse, scales, codes] = Array.from({ length: 3 }, () => fn.local('v128'));
    const best = fn.local('f32');
    const products = f32.load(step, layout.SUM_PRODUCTS);
    const squares = f32.load(step, layout.SUM_SQUARES);
    const improves = i32.and(
      f32.gt(squares, f32.const(0)),
      f32.gt(f32.mul(products, products), f32.mul(best, squares)),
    );
    const keep = Array.from({ length: groups }, (_, index) => [
      i32.store(zero, i32.load(step, layout.FOUND + 16 * index), layout.BEST_FOUND + 4 * index),
      i32.store(zero, i32.load(step, layout.ROUNDED + 16 * index), layout.BEST_ROUNDED + 4 * index),
    ]).flat();
    const four = fn.local('i32');
    const bytes = gridSteps(settings).byteLength;
    return [
      best.set(f32.const(0)),
      ...this.startOfBest(),
      four.set(zero),
      loop(four, 16, i32.const(bytes), [
        inverse.set(f32x4.div(v128.load(four, layout.STEPS), f32x4.splat(span))),
        scales.set(f32x4.div(f32x4.const(1), inverse)),
        ...this.eachGroup(
          codes.set(result(this.rounding, inverse, this.place(layout.VALUES))),
          v128.store(group, codes, layout.ROUNDED),
          ...[0, 1, 2, 3].map((lane) =>
            i32.store(
              group,
              this.snapped(i32x4.lane(codes, lane), f32x4.lane(scales, lane)),
              layout.FOUND + 4 * lane,
            ),
          ),
        ),
        call(this.sums),
        step.set(zero),
        loop(step, 4, i32.const(16), [
          when(improves, [
            scale.set(f32.div(products, squares)),
            best.set(f32.mul(scale, products)),
            ...keep,
          ]),
        ]),
      ]),
    ];
  }

  /** Where no step is better than nothing: the first point, as if it were on the grid, or not. */
  private startOfBest(): Statement[] {
    const rounded = this.settings.refine === 'all if any' ? -1 : 0;
    return Array.from({ length: this.groups }, (_, index) => [
      i32.store(zero, zero, layout.BEST_FOUND + 4 * index),
      i32.store(zero, i32.const(rounded), layout.BEST_ROUNDED + 4 * index),
    ]).flat();
  }

  /** Rounds by the scale found, and fits the scale to the new codes. */
  refine(): Statement[] {
    const { fn, group, groups, scale, settings } = this;
    const code = fn.local('i32');
    const inverse = fn.local('f32');
    const quarter = i32.shrU(group, i32.const(2));
    const off = (index: I32): I32 =>
      i32.xor(i32.load(index, layout.BEST_FOUND), i32.load(index, layout.BEST_ROUNDED));
    const anyOff = Array.from({ length: groups }, (_, index) => off(i32.const(4 * index))).reduce(i32.or);
    const positive = f32.gt(scale, f32.const(0));
    const wanted = settings.refine === 'all' ? positive : i32.and(i32.ne(anyOff, zero), positive);
    const codes = result(this.rounding, f32x4.splat(inverse), this.place(layout.VALUES));
    const again: Statement[] = [
      code.set(i32x4.lane(codes, 0)),
      i32.store(quarter, this.snapped(code, scale), layout.BEST_FOUND),
    ];
    const squares = f32.load(zero, layout.SUM_SQUARES);
    return [
      when(wanted, [
        inverse.set(f32.div(f32.const(1), scale)),
        ...this.eachGroup(
          ...(settings.refine === 'off the grid' ? [when(off(quarter), again)] : again),
          v128.store(group, v128.loadSplat32(quarter, layout.BEST_FOUND), layout.FOUND),
        ),
        call(this.sums),
        when(f32.gt(squares, f32.const(0)), [
          scale.set(f32.div(f32.load(zero, layout.SUM_PRODUCTS), squares)),
        ]),
      ]),
    ];
  }

  /** Scales are stored without a sign: that of a negative one goes to the weights. */
  end(offset: I32): Statement[] {
    const { scale, settings } = this;
    const all = i32.const(settings.evenSigns ? 127 : 255);
    const turned = Array.from({ length: settings.size / 8 }, (_, index) => {
      const place = layout.SIGNS + 4 * index;
      return i32.store(zero, i32.xor(i32.load(zero, place), all), place);
    });
    return [
      when(f32.lt(scale, f32.const(0)), [scale.set(f32.neg(scale)), ...turned]),
      f32.store(offset, scale, layout.SCALES),
      give(i32.const(1)),
    ];
  }
}

export function makeGridSearch(settings: GridSearch): SearchFunctions {
  const { grid, size, fitFirst } = settings;
  const nearest = makeNearest(grid);
  const rounding = makeRounding(grid);
  const snap = makeSnap(grid, nearest);
  const sums = makeSums(settings);
  const leastImportant = makeLeastImportant();
  const prepare = makePrepare(settings, leastImportant);
  const fit = fitFirst ? makeScaleCoder(size, grid.levels + 1) : null;
  const search = new WasmFunction(['i32', 'i32', 'f32', 'i32'], 'i32');
  const [values, importance] = [0, 1].map((index) => search.parameter(index, 'i32'));
  const sigma2 = search.parameter(2, 'f32');
  const offset = search.parameter(3, 'i32');
  const writer = new SearchWriter(search, settings, { rounding, snap, sums });
  search.add(
    ...writer.begin(result(prepare, values, importance, sigma2), offset, fit),
    ...writer.steps(),
    ...writer.refine(),
    ...writer.end(offset),
  );
  const helpers = [nearest, rounding, snap, sums, leastImportant, prepare, ...(fit === null ? [] : [fit])];
  return { helpers, search };
}
