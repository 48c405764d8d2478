/** @file The uneven sixteen values of IQ4_XS and IQ4_NL (`kvalues_iq4nl`), and finding the nearest as ggml does. */
import { iq4Levels } from '@bitsmith/formats';
import { f32x4, i8x16, i32x4, type Statement, v128, type V128 } from './instructions.js';
import { type Local } from './wasm.js';

export const codebook = Int8Array.from(iq4Levels);

/**
 * The least float32 that ggml's `best_index_int8` gives the upper of two neighbours: where x - lower < upper - x, both
 * rounded, ends. As x grows the condition turns once, so the place is found by bisection over floats.
 */
function threshold(lower: number, upper: number): number {
  const belongsBelow = (x: number): boolean => Math.fround(x - lower) < Math.fround(upper - x);
  let below = ordinal(lower);
  let above = ordinal(upper);
  while (above - below > 1) {
    const middle = Math.floor((below + above) / 2);
    if (belongsBelow(floatOf(middle))) below = middle;
    else above = middle;
  }
  return floatOf(above);
}

/** Floats in order, as integers in order. */
function ordinal(value: number): number {
  const bits = new Int32Array(Float32Array.of(value).buffer)[0];
  return bits < 0 ? -(bits & 0x7fffffff) : bits;
}

function floatOf(order: number): number {
  const bits = order < 0 ? -order | 0x80000000 : order;
  return new Float32Array(Int32Array.of(bits).buffer)[0];
}

const thresholds = Array.from(codebook.subarray(1), (upper, index) => threshold(codebook[index], upper));

/** Sets `index` to the codebook's index nearest to each lane of `x`; NaN gets the last, as in ggml. */
export function findNearest(x: Local<'v128'>, index: Local<'v128'>): Statement[] {
  // A comparison that holds is -1.
  return [
    index.set(i32x4.const(codebook.length - 1)),
    ...thresholds.map((limit) => index.set(i32x4.add(index, f32x4.lt(x, f32x4.const(limit))))),
  ];
}

/** The values at four indices, as floats. */
export function valuesAt(index: V128): V128 {
  const bytes = i8x16.swizzle(v128.const(new Uint8Array(codebook.buffer)), index);
  return f32x4.fromI32x4(i32x4.shrS(i32x4.shl(bytes, 24), 24));
}
