/** @file The first step of a search over sub-blocks: four of them side by side, with the weight of each value's error. */
import * as layout from './layout.js';
import { at, Transposer } from './vectors.js';
import { f32x4, i32, type I32, type Statement, v128, type V128 } from './instructions.js';
import { loop, type WasmFunction } from './wasm.js';

/**
 * Lays four neighbouring sub-blocks of `size` weights out for one lane each: values, and the weights of their errors, which are
 * importance x sqrt(sigma2 + x^2), or the importance itself. The function's parameters begin with the addresses of values
 * and importance, and sigma2.
 */
export function gather(
  fn: WasmFunction<null>,
  size: number,
  errors: 'by magnitude' | 'as given' = 'by magnitude',
): Statement[] {
  const x = fn.parameter(0, 'i32');
  const importance = fn.parameter(1, 'i32');
  const sigma2 = f32x4.splat(fn.parameter(2, 'f32'));
  const transposer = new Transposer(fn);
  const i = fn.local('i32');
  const rows = Array.from({ length: 4 }, () => fn.local('v128'));
  const from = (base: I32, row: number): V128 => v128.load(i32.add(base, at(i, 4)), row * size * 4);
  const weight = (row: number): V128 => {
    if (errors === 'as given') return from(importance, row);
    const squares = f32x4.mul(from(x, row), from(x, row));
    return f32x4.mul(from(importance, row), f32x4.sqrt(f32x4.add(sigma2, squares)));
  };
  return [
    i.set(i32.const(0)),
    loop(i, 4, i32.const(size), [
      ...rows.map((row, index) => row.set(from(x, index))),
      ...transposer.store(rows, at(i, 16), layout.X),
      ...rows.map((row, index) => row.set(weight(index))),
      ...transposer.store(rows, at(i, 16), layout.W),
    ]),
  ];
}
