/** @file What several kernels do with vectors of four: rounding as ggml rounds, transposing, packing codes. */
import {
  f32x4,
  i16x8,
  i32,
  i32x4,
  i8x16,
  type Statement,
  v128,
  type V128,
  type ValueType,
} from './instructions.js';
import { type Local, type WasmFunction } from './wasm.js';

/**
 * ggml's `nearest_int`: adding 1.5 x 2^23 leaves the rounded integer in the low bits, ties to even. Beyond 2^22 it returns
 * what those bits happen to be, and so does this.
 */
export function nearestInteger(value: V128): V128 {
  const shifted = f32x4.add(value, f32x4.const(12_582_912));
  return i32x4.sub(v128.and(shifted, i32x4.const(0x007fffff)), i32x4.const(0x00400000));
}

/** Integers to the nearest of 0 to `most`. */
export function clampInteger(value: V128, most: number): V128 {
  return i32x4.maxS(i32x4.minS(value, i32x4.const(most)), i32x4.const(0));
}

/** Sixteen integers of 0 to 255, four a vector, as bytes in their order. */
export function packBytes(a: V128, b: V128, c: V128, d: V128): V128 {
  return i8x16.narrowI16x8U(i16x8.narrowI32x4S(a, b), i16x8.narrowI32x4S(c, d));
}

/** Picks 32-bit lanes: 0 to 3 of `a`, 4 to 7 of `b`. */
function lanes(a: V128, b: V128, ...words: number[]): V128 {
  const bytes = words.flatMap((word) => [0, 1, 2, 3].map((byte) => 4 * word + byte));
  return i8x16.shuffle(a, b, bytes);
}

/** Four vectors as rows of a 4 x 4 matrix, stored as its columns at `offset`, `offset` + 16, ... */
export class Transposer {
  private readonly halves: readonly Local<'v128'>[];

  constructor(builder: WasmFunction<ValueType | null>) {
    this.halves = Array.from({ length: 4 }, () => builder.local('v128'));
  }

  store(rows: readonly V128[], address: Parameters<typeof v128.store>[0], offset: number): Statement[] {
    const [a, b, c, d] = rows;
    const [lowAb, highAb, lowCd, highCd] = this.halves;
    return [
      lowAb.set(lanes(a, b, 0, 4, 1, 5)),
      highAb.set(lanes(a, b, 2, 6, 3, 7)),
      lowCd.set(lanes(c, d, 0, 4, 1, 5)),
      highCd.set(lanes(c, d, 2, 6, 3, 7)),
      v128.store(address, lanes(lowAb, lowCd, 0, 1, 4, 5), offset),
      v128.store(address, lanes(lowAb, lowCd, 2, 3, 6, 7), offset + 16),
      v128.store(address, lanes(highAb, highCd, 0, 1, 4, 5), offset + 32),
      v128.store(address, lanes(highAb, highCd, 2, 3, 6, 7), offset + 48),
    ];
  }
}

/** The address of the `index`-th of things of `bytes` bytes. */
export function at(index: Local<'i32'>, bytes: number): ReturnType<typeof i32.mul> {
  return i32.mul(index, i32.const(bytes));
}
