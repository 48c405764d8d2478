/**
 * @file The search for scale and minimum of a sub-block: ggml's `make_qkx3_quants` with importance weights, for four
 * sub-blocks at once, one a lane. Each lane does the same float32 operations in the same order as ggml's scalar loop, so
 * that its result is the same to the bit; only the lanes run side by side.
 */
import { gather } from './gather.js';
import * as layout from './layout.js';
import { clampInteger, nearestInteger } from './vectors.js';
import { f32x4, i32, type I32, type Statement, v128, type V128 } from './instructions.js';
import { type Local, loop, WasmFunction, when } from './wasm.js';

export interface RangeSearch {
  /** Weights of a sub-block: 16 or 32. */
  readonly size: number;
  /** The largest code. */
  readonly most: number;
}

const STEP_COUNT = 37;

/** `rmin + rdelta * is + nmax` for every step, in float32. */
export function searchSteps({ most }: RangeSearch): Float32Array {
  const start = Math.fround(-0.9);
  const step = Math.fround(0.05);
  return Float32Array.from({ length: STEP_COUNT }, (_, index) =>
    Math.fround(Math.fround(start + Math.fround(step * index)) + most),
  );
}

/**
 * `search(x, importance, sigma2, group)`: `x` and `importance` are addresses of the first of four neighbouring sub-blocks;
 * results go to lane `group` of the tables in the scratch memory.
 */
export function makeRangeSearch(search: RangeSearch): WasmFunction<null> {
  const fn = new WasmFunction(['i32', 'i32', 'f32', 'i32'], null);
  const group = fn.parameter(3, 'i32');
  const state = new SearchState(fn);
  fn.add(
    ...gather(fn, search.size),
    ...state.summarize(search),
    ...state.start(search),
    ...state.tryAll(search),
    ...state.store(group),
  );
  return fn;
}

class SearchState {
  private readonly i: Local<'i32'>;
  private readonly step: Local<'i32'>;
  private readonly vector: (name: string) => Local<'v128'>;

  constructor(fn: WasmFunction<null>) {
    const vectors = new Map<string, Local<'v128'>>();
    this.i = fn.local('i32');
    this.step = fn.local('i32');
    this.vector = (name) => {
      const known = vectors.get(name) ?? fn.local('v128');
      vectors.set(name, known);
      return known;
    };
  }

  private get x(): V128 {
    return v128.load(this.i, layout.X);
  }

  private get w(): V128 {
    return v128.load(this.i, layout.W);
  }

  /** Runs over the weights of a sub-block; addresses advance by one vector. */
  private each(from: number, { size }: RangeSearch, ...body: Statement[]): Statement[] {
    return [this.i.set(i32.const(16 * from)), loop(this.i, 16, i32.const(16 * size), body)];
  }

  /** Extremes and weighted sums of each lane. */
  summarize(search: RangeSearch): Statement[] {
    const { vector } = this;
    const [minimum, maximum, sumW, sumX] = ['minimum', 'maximum', 'sumW', 'sumX'].map(vector);
    return [
      this.i.set(i32.const(0)),
      minimum.set(this.x),
      maximum.set(this.x),
      sumW.set(this.w),
      sumX.set(f32x4.mul(this.w, this.x)),
      ...this.each(
        1,
        search,
        minimum.set(f32x4.pmin(minimum, this.x)),
        maximum.set(f32x4.pmax(maximum, this.x)),
        sumW.set(f32x4.add(sumW, this.w)),
        sumX.set(f32x4.add(sumX, f32x4.mul(this.w, this.x))),
      ),
      minimum.set(f32x4.pmin(minimum, f32x4.const(0))),
      vector('flat').set(f32x4.le(maximum, minimum)),
      vector('flatMinimum').set(minimum),
    ];
  }

  /** Codes of all weights at `inverse` and `minimum`, as floats, in the scratch memory. */
  private code({ most }: RangeSearch): Statement {
    const { vector } = this;
    const scaled = f32x4.mul(vector('inverse'), f32x4.sub(this.x, vector('minimum')));
    return vector('code').set(f32x4.fromI32x4(clampInteger(nearestInteger(scaled), most)));
  }

  /** w (scale x code + minimum - x)^2 */
  private error(scale: V128, code: V128, minimum: V128): Statement[] {
    const difference = this.vector('difference');
    return [
      difference.set(f32x4.sub(f32x4.add(f32x4.mul(scale, code), minimum), this.x)),
      difference.set(f32x4.mul(this.w, f32x4.mul(difference, difference))),
    ];
  }

  /** The range itself, unrefined. */
  start(search: RangeSearch): Statement[] {
    const { vector } = this;
    const span = f32x4.sub(vector('maximum'), vector('minimum'));
    return [
      vector('inverse').set(f32x4.div(f32x4.const(search.most), span)),
      vector('scale').set(f32x4.div(f32x4.const(1), vector('inverse'))),
      vector('bestInverse').set(v128.andNot(vector('inverse'), vector('flat'))),
      vector('bestMinimum').set(vector('minimum')),
      vector('least').set(f32x4.const(0)),
      ...this.each(
        0,
        search,
        this.code(search),
        ...this.error(vector('scale'), vector('code'), vector('minimum')),
        vector('least').set(f32x4.add(vector('least'), vector('difference'))),
      ),
    ];
  }

  tryAll(search: RangeSearch): Statement[] {
    const { vector, step } = this;
    const span = f32x4.sub(vector('maximum'), vector('minimum'));
    return [
      step.set(i32.const(0)),
      loop(step, 4, i32.const(4 * STEP_COUNT), [
        vector('inverse').set(f32x4.div(v128.loadSplat32(step, layout.STEPS), span)),
        ...this.sumCodes(search),
        ...this.fit(),
        ...this.measure(search),
        ...this.keepBetter(),
      ]),
    ];
  }

  private sumCodes(search: RangeSearch): Statement[] {
    const { vector } = this;
    const [sumL, sumL2, sumXl, code, weighted] = ['sumL', 'sumL2', 'sumXl', 'code', 'weighted'].map(vector);
    return [
      ...[sumL, sumL2, sumXl].map((sum) => sum.set(f32x4.const(0))),
      ...this.each(
        0,
        search,
        this.code(search),
        v128.store(this.i, code, layout.CODES),
        weighted.set(f32x4.mul(this.w, code)),
        sumL.set(f32x4.add(sumL, weighted)),
        sumL2.set(f32x4.add(sumL2, f32x4.mul(weighted, code))),
        sumXl.set(f32x4.add(sumXl, f32x4.mul(weighted, this.x))),
      ),
    ];
  }

  /** Weighted least squares for scale and minimum; a minimum above zero is held at zero. */
  private fit(): Statement[] {
    const { vector } = this;
    const [sumL, sumL2, sumXl, sumW, sumX] = ['sumL', 'sumL2', 'sumXl', 'sumW', 'sumX'].map(vector);
    const [determinant, scale, minimum, above] = ['determinant', 'newScale', 'newMinimum', 'above'].map(
      vector,
    );
    const minus = (a: V128, b: V128, c: V128, d: V128): V128 => f32x4.sub(f32x4.mul(a, b), f32x4.mul(c, d));
    return [
      determinant.set(minus(sumW, sumL2, sumL, sumL)),
      scale.set(f32x4.div(minus(sumW, sumXl, sumX, sumL), determinant)),
      minimum.set(f32x4.div(minus(sumL2, sumX, sumL, sumXl), determinant)),
      above.set(f32x4.gt(minimum, f32x4.const(0))),
      minimum.set(v128.andNot(minimum, above)),
      scale.set(v128.select(above, f32x4.div(sumXl, sumL2), scale)),
    ];
  }

  private measure(search: RangeSearch): Statement[] {
    const { vector } = this;
    const error = vector('error');
    return [
      error.set(f32x4.const(0)),
      ...this.each(
        0,
        search,
        ...this.error(vector('newScale'), v128.load(this.i, layout.CODES), vector('newMinimum')),
        error.set(f32x4.add(error, vector('difference'))),
      ),
    ];
  }

  private keepBetter(): Statement[] {
    const { vector } = this;
    const better = vector('better');
    const keep = (name: string, value: string): Statement =>
      vector(name).set(v128.select(better, vector(value), vector(name)));
    const solvable = f32x4.gt(vector('determinant'), f32x4.const(0));
    const smaller = f32x4.lt(vector('error'), vector('least'));
    return [
      better.set(v128.andNot(v128.and(solvable, smaller), vector('flat'))),
      when(v128.anyTrue(better), [
        keep('least', 'error'),
        keep('scale', 'newScale'),
        keep('bestInverse', 'inverse'),
        // The codes were made with the minimum as it was before this step.
        keep('bestMinimum', 'minimum'),
        keep('minimum', 'newMinimum'),
      ]),
    ];
  }

  store(group: I32): Statement[] {
    const { vector } = this;
    const address = i32.mul(group, i32.const(16));
    const flat = vector('flat');
    const minimum = v128.select(flat, vector('flatMinimum'), vector('minimum'));
    return [
      v128.store(address, v128.andNot(vector('scale'), flat), layout.SCALES),
      v128.store(address, f32x4.neg(minimum), layout.MINIMA),
      v128.store(address, vector('sumW'), layout.IMPORTANCE_SUMS),
      v128.store(address, vector('bestInverse'), layout.BEST_INVERSE),
      v128.store(address, vector('bestMinimum'), layout.BEST_MINIMUM),
    ];
  }
}
