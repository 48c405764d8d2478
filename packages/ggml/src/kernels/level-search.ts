/**
 * @file The search for the scale of a sub-block without a minimum: ggml's `make_qx_quants` with importance weights, for four
 * sub-blocks at once, one a lane, each lane with ggml's own operations in ggml's order. Codes run from -`levels` to
 * `levels` - 1 and are stored with `levels` added.
 */
import * as layout from './layout.js';
import { nearestInteger } from './vectors.js';
import {
  f32x4,
  i32,
  i32x4,
  type I32,
  type Statement,
  v128,
  type V128,
  type ValueType,
} from './instructions.js';
import { type Local, loop, type WasmFunction, when } from './wasm.js';

/** `GROUP_MAX_EPS` */
const SMALLEST = 1e-15;
const OFFSETS = [-9, -8, -7, -6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/** `-(nmax + 0.1f*is)` for every step that is tried, in float32. */
export function levelSteps(levels: number): Float32Array {
  return Float32Array.from(OFFSETS, (is) => -Math.fround(levels + Math.fround(Math.fround(0.1) * is)));
}

/** Codes of values that are multiplied by `inverse`, without the offset. */
export function levelCodes(inverse: V128, x: V128, levels: number): V128 {
  const nearest = nearestInteger(f32x4.mul(inverse, x));
  return i32x4.maxS(i32x4.minS(nearest, i32x4.const(levels - 1)), i32x4.const(-levels));
}

/** What a search leaves in its variables. */
export class LevelSearch {
  readonly scale: Local<'v128'>;
  readonly inverse: Local<'v128'>;
  /** Added to codes: `levels`, or 0 where all values are zero and ggml stores no codes. */
  readonly offset: Local<'v128'>;
  private readonly levels: number;
  private readonly size: number;
  private readonly stepsAt: number;
  private readonly i: Local<'i32'>;
  private readonly step: Local<'i32'>;
  private readonly vectors: readonly Local<'v128'>[];

  /** @param size values of a sub-block, laid out at `layout.X` and `layout.W` */
  constructor(fn: WasmFunction<ValueType | null>, size: number, levels: number, stepsAt: number) {
    this.levels = levels;
    this.size = size;
    this.stepsAt = stepsAt;
    [this.scale, this.inverse, this.offset] = [0, 1, 2].map(() => fn.local('v128'));
    [this.i, this.step] = [0, 1].map(() => fn.local('i32'));
    this.vectors = Array.from({ length: 9 }, () => fn.local('v128'));
  }

  private each(...body: Statement[]): Statement[] {
    return [this.i.set(i32.const(0)), loop(this.i, 16, i32.const(16 * this.size), body)];
  }

  run(): Statement[] {
    const { i, levels, scale, inverse, offset, step } = this;
    const [largest, signed, products, squares, best, tried, code, better, magnitude] = this.vectors;
    const x = v128.load(i, layout.X);
    const w = v128.load(i, layout.W);
    const fit = (at: V128): Statement[] => [
      tried.set(at),
      products.set(f32x4.const(0)),
      squares.set(f32x4.const(0)),
      ...this.each(
        code.set(f32x4.fromI32x4(levelCodes(tried, x, levels))),
        products.set(f32x4.add(products, f32x4.mul(f32x4.mul(w, x), code))),
        squares.set(f32x4.add(squares, f32x4.mul(f32x4.mul(w, code), code))),
      ),
    ];
    const quotient = f32x4.div(products, squares);
    const improves = f32x4.gt(f32x4.mul(products, products), f32x4.mul(best, squares));
    return [
      largest.set(f32x4.const(0)),
      signed.set(f32x4.const(0)),
      ...this.each(
        magnitude.set(f32x4.abs(x)),
        better.set(f32x4.gt(magnitude, largest)),
        largest.set(v128.select(better, magnitude, largest)),
        signed.set(v128.select(better, x, signed)),
      ),
      ...fit(f32x4.div(f32x4.const(-levels), signed)),
      inverse.set(tried),
      scale.set(v128.and(quotient, f32x4.ne(squares, f32x4.const(0)))),
      best.set(f32x4.mul(scale, products)),
      step.set(i32.const(0)),
      loop(step, 4, i32.const(4 * OFFSETS.length), [
        ...fit(f32x4.div(v128.loadSplat32(step, this.stepsAt), signed)),
        better.set(v128.and(f32x4.gt(squares, f32x4.const(0)), improves)),
        when(v128.anyTrue(better), [
          inverse.set(v128.select(better, tried, inverse)),
          scale.set(v128.select(better, quotient, scale)),
          best.set(v128.select(better, f32x4.mul(scale, products), best)),
        ]),
      ]),
      // Lanes without weights: no scale, no codes.
      better.set(f32x4.lt(largest, f32x4.const(SMALLEST))),
      scale.set(v128.andNot(scale, better)),
      inverse.set(v128.andNot(inverse, better)),
      offset.set(v128.andNot(i32x4.const(levels), better)),
    ];
  }

  /** Keeps the results of a group of four sub-blocks in the scratch memory. */
  store(group: I32): Statement[] {
    const address = i32.mul(group, i32.const(16));
    return [
      v128.store(address, this.scale, layout.SCALES),
      v128.store(address, this.inverse, layout.BEST_INVERSE),
      v128.store(address, this.offset, layout.BEST_MINIMUM),
    ];
  }
}
