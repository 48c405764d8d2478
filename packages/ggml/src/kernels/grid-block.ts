/** @file What the kernels of the low i-quants do with a block: indices of points, scales, and bits put together. */
import * as layout from './grid-layout.js';
import { mapEntry } from './grid-nearest.js';
import type { GridShape } from './grid-tables.js';
import { nearestIntegerOf } from './scale-codes.js';
import { f32, type F32, i32, type I32, i32x4, type Statement, v128 } from './instructions.js';
import { choose } from './wasm.js';

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
