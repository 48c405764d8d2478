/** @file What the kernels of the low i-quants do with a block: indices of points, scales, and bits put together. */
import * as layout from './grid-layout.js';
import { mapEntry } from './grid-nearest.js';
import type { GridShape } from './grid-tables.js';
import { sumOfSquares } from './kernel.js';
import { SUPER_BLOCK } from './layout.js';
import { nearestIntegerOf } from './scale-codes.js';
import { f32, type F32, i32, type I32, i32x4, type Statement, v128 } from './instructions.js';
import { choose, type Local, result, WasmFunction, when } from './wasm.js';

const zero = i32.const(0);

/** Clears an even number of bytes. */
export function clear(block: I32, bytes: number): Statement[] {
  const vectors = Math.floor(bytes / 16);
  return [
    ...Array.from({ length: vectors }, (_, index) => v128.store(block, i32x4.const(0), 16 * index)),
    ...Array.from({ length: (bytes % 16) / 2 }, (_, index) =>
      i32.store16(block, zero, 16 * vectors + 2 * index),
    ),
  ];
}

/** The code l of a scale that is stored as 2 l + 1; `most` is the largest. */
export function scaleCode(most: number, scaled: F32): I32 {
  const nearest = nearestIntegerOf(f32.mul(f32.const(0.5), f32.sub(scaled, f32.const(1))));
  const atMost = choose(i32.ltS(i32.const(most), nearest), i32.const(most), nearest);
  return choose(i32.ltS(atMost, zero), zero, atMost);
}

/** The index in the grid of a group's point. */
export function indexOf(grid: GridShape, group: number): I32 {
  const code = i32.load(zero, layout.BEST_FOUND + 4 * group);
  return i32.load(mapEntry(code), grid.address);
}

/** Adds bits to a byte that began as zero. */
export function merge(block: I32, place: number, bits: I32): Statement {
  return i32.store8(block, i32.or(i32.load8U(block, place), bits), place);
}

export function shifted(value: I32, bits: number): I32 {
  return i32.shl(value, i32.const(bits));
}

interface SuperBlockSettings {
  /** Weights of a sub-block. */
  readonly size: number;
  readonly bytes: number;
  /** sigma^2 as a multiple of the mean square. */
  readonly sigmaFactor: 1 | 2;
  /** The largest code of a sub-block's scale. */
  readonly mostScale: number;
}

/** The function `encode(values, importance, target)` of a super-block, as far as the low i-quants share it. */
export class SuperBlockWriter {
  readonly fn = new WasmFunction(['i32', 'i32', 'i32'], null);
  readonly x = this.fn.parameter(0, 'i32');
  readonly importance = this.fn.parameter(1, 'i32');
  readonly target = this.fn.parameter(2, 'i32');
  readonly sigma2: Local<'f32'> = this.fn.local('f32');
  /** The step between codes of scales: the largest scale is stored as the largest code. */
  readonly step: Local<'f32'> = this.fn.local('f32');
  /** Numbers of the sub-blocks. */
  readonly subBlocks: readonly number[];
  private readonly settings: SuperBlockSettings;
  private readonly largest = this.fn.local('f32');
  private readonly inverse = this.fn.local('f32');

  constructor(settings: SuperBlockSettings) {
    this.settings = settings;
    this.subBlocks = Array.from({ length: SUPER_BLOCK / settings.size }, (_, index) => index);
  }

  /**
   * Clears the block, searches its sub-blocks, and packs those that have codes.
   * @param search of `values, importance, sigma2, offset`: leaves the scale at `SCALES` + `offset`; 0 without codes
   */
  search(search: WasmFunction<'i32'>, pack: (subBlock: number) => Statement[]): void {
    const { fn, importance, largest, sigma2, target, x } = this;
    const { bytes, sigmaFactor, size } = this.settings;
    const scale = fn.local('f32');
    fn.add(
      ...clear(target, bytes),
      ...sumOfSquares(x, fn.local('i32'), sigma2),
      sigma2.set(f32.mul(sigma2, f32.const(sigmaFactor / SUPER_BLOCK))),
      largest.set(f32.const(0)),
    );
    for (const j of this.subBlocks) {
      const offset = i32.const(4 * j * size);
      const places = [i32.add(x, offset), i32.add(importance, offset)];
      fn.add(
        when(result(search, ...places, sigma2, i32.const(4 * j)), pack(j)),
        scale.set(f32.load(zero, layout.SCALES + 4 * j)),
        largest.set(choose(f32.gt(largest, scale), largest, scale)),
      );
    }
  }

  /** Sets the step and runs the statements, which may use `scaleCode`; the others where all scales are zero. */
  whereScaled(statements: readonly Statement[], otherwise: readonly Statement[] = []): void {
    const { fn, inverse, largest, step } = this;
    const begin = [
      step.set(f32.div(largest, f32.const(2 * this.settings.mostScale + 1))),
      inverse.set(f32.div(f32.const(1), step)),
    ];
    fn.add(when(f32.ne(largest, f32.const(0)), [...begin, ...statements], otherwise));
  }

  /** The code of a sub-block's scale. */
  scaleCode(subBlock: number): I32 {
    const scale = f32.load(zero, layout.SCALES + 4 * subBlock);
    return scaleCode(this.settings.mostScale, f32.mul(this.inverse, scale));
  }
}
