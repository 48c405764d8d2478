/** @file A sub-block before its search: magnitudes, signs, and how much each error matters. */
import { errorWeights, type ErrorWeights } from './error-weights.js';
import * as layout from './grid-layout.js';
import { f32, type F32, f32x4, i32, i32x4, type Statement, v128 } from './instructions.js';
import { choose, give, result, WasmFunction, when } from './wasm.js';

const zero = i32.const(0);

/** `leastImportant(values, weights)`: which of eight values adds the least weighted square, the first of equals. */
export function makeLeastImportant(): WasmFunction<'i32'> {
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

/**
 * `prepare(values, importance, sigma2)` for `size` values: gives the largest magnitude.
 * @param evenSigns whether the least important of eight values changes its sign where an odd number is negative
 */
export function makePrepare(
  size: number,
  errors: ErrorWeights,
  evenSigns: boolean,
  leastImportant: WasmFunction<'i32'>,
): WasmFunction<'f32'> {
  const fn = new WasmFunction(['i32', 'i32', 'f32'], 'f32');
  const [x, importance] = [0, 1].map((index) => fn.parameter(index, 'i32'));
  const sigma2 = f32x4.splat(fn.parameter(2, 'f32'));
  const [value, weight, largest] = Array.from({ length: 3 }, () => fn.local('v128'));
  const [signs, flipped] = [0, 1].map(() => fn.local('i32'));
  for (let i = 0; i < size; i += 4) {
    const negative = i32x4.bitmask(f32x4.lt(value, f32x4.const(0)));
    const [at, half] = [4 * i, i % 8];
    fn.add(
      value.set(v128.load(x, at)),
      weight.set(errorWeights(errors, value, sigma2, importance, at)),
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
