/**
 * @file The search for the scale of a sub-block whose weights are coded as points of a grid, as in ggml's encoders of the
 * IQ2 and IQ3 types: steps of inverse scales are tried, four of them side by side; each group of weights is rounded to a
 * point, points off the grid go to a neighbour, and the step with the best weighted fit is kept and once more refined.
 */
import type { ErrorWeights } from './error-weights.js';
import * as layout from './grid-layout.js';
import { makeNearest } from './grid-nearest.js';
import { makeLeastImportant, makePrepare } from './grid-prepare.js';
import { makeRounding, makeSnap, makeSums } from './grid-round.js';
import type { GridShape } from './grid-tables.js';
import { makeScaleCoder } from './scale-codes.js';
import {
  f32,
  type F32,
  f32x4,
  i32,
  type I32,
  i32x4,
  type Statement,
  v128,
  type ValueType,
} from './instructions.js';
import { call, give, type Local, loop, result, WasmFunction, when } from './wasm.js';

/** What the formats differ in. */
export interface GridSearch {
  readonly grid: GridShape;
  readonly errors: ErrorWeights;
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
  const sums = makeSums(grid, size);
  const leastImportant = makeLeastImportant();
  const prepare = makePrepare(size, settings.errors, settings.evenSigns, leastImportant);
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
