/**
 * @file The codes of a super-block's scales (or minima): ggml's `make_qp_quants`. A grid of nine steps is tried for the
 * least weighted squared error, then single codes are moved while the weighted fit improves. Codes are stored as bytes, as
 * there, also where one wraps.
 */
import { f32, type F32, i32, type I32, type Statement } from './instructions.js';
import { choose, give, loop, when, WasmFunction } from './wasm.js';

/** `GROUP_MAX_EPS` */
const SMALLEST_SCALE = 1e-15;

/** ggml's `nearest_int` for one value. */
export function nearestIntegerOf(value: F32): I32 {
  const bits = i32.bits(f32.add(value, f32.const(12_582_912)));
  return i32.sub(i32.and(bits, i32.const(0x007fffff)), i32.const(0x00400000));
}

/**
 * `encode(values, weights, codes)` for `count` values: writes the codes and returns the step between them.
 * @param most the largest code
 */
export function makeScaleCoder(count: number, most: number): WasmFunction<'f32'> {
  const fn = new WasmFunction(['i32', 'i32', 'i32'], 'f32');
  const [values, weights, codes] = [0, 1, 2].map((index) => fn.parameter(index, 'i32'));
  const i = fn.local('i32');
  const code = fn.local('i32');
  const [largest, inverse, step, least, tried, triedInverse, difference] = Array.from({ length: 7 }, () =>
    fn.local('f32'),
  );
  const value = f32.load(i32.add(values, i32.shl(i, i32.const(2))));
  const weight = f32.load(i32.add(weights, i32.shl(i, i32.const(2))));
  const codeAddress = i32.add(codes, i);
  const stored = f32.fromI32(i32.load8U(codeAddress));
  const atMost = (integer: I32): Statement[] => [
    code.set(integer),
    code.set(choose(i32.ltS(i32.const(most), code), i32.const(most), code)),
  ];
  const each = (...body: Statement[]): Statement[] => [
    i.set(i32.const(0)),
    loop(i, 1, i32.const(count), body),
  ];

  fn.add(
    largest.set(f32.const(0)),
    ...each(largest.set(choose(f32.gt(largest, value), largest, value))),
    when(f32.lt(largest, f32.const(SMALLEST_SCALE)), [
      ...each(i32.store8(codeAddress, i32.const(0))),
      give(f32.const(0)),
    ]),
    inverse.set(f32.div(f32.const(most), largest)),
    step.set(f32.div(f32.const(1), inverse)),
    least.set(f32.const(0)),
    ...each(
      i32.store8(codeAddress, nearestIntegerOf(f32.mul(inverse, value))),
      difference.set(f32.sub(value, f32.mul(step, stored))),
      least.set(f32.add(least, f32.mul(f32.mul(weight, difference), difference))),
    ),
  );
  for (const offset of [-4, -3, -2, -1, 1, 2, 3, 4]) {
    const shifted = Math.fround(Math.fround(Math.fround(0.1) * offset) + most);
    fn.add(
      triedInverse.set(f32.div(f32.const(shifted), largest)),
      step.set(f32.div(f32.const(1), triedInverse)),
      tried.set(f32.const(0)),
      ...each(
        ...atMost(nearestIntegerOf(f32.mul(triedInverse, value))),
        difference.set(f32.sub(value, f32.mul(step, f32.fromI32(code)))),
        tried.set(f32.add(tried, f32.mul(f32.mul(weight, difference), difference))),
      ),
      when(f32.lt(tried, least), [least.set(tried), inverse.set(triedInverse)]),
    );
  }
  fn.add(...refine());
  return fn;

  function refine(): Statement[] {
    const [products, squares, newProducts, newSquares] = Array.from({ length: 4 }, () => fn.local('f32'));
    const round = fn.local('i32');
    const changed = fn.local('i32');
    const better = f32.gt(
      f32.mul(f32.mul(newProducts, newProducts), squares),
      f32.mul(f32.mul(products, products), newSquares),
    );
    const move: Statement[] = [
      newProducts.set(f32.add(newProducts, f32.mul(f32.mul(weight, value), f32.fromI32(code)))),
      newSquares.set(f32.add(newSquares, f32.mul(f32.mul(weight, f32.fromI32(code)), f32.fromI32(code)))),
      when(better, [
        i32.store8(codeAddress, code),
        products.set(newProducts),
        squares.set(newSquares),
        changed.set(i32.const(1)),
      ]),
    ];
    const bothPositive = i32.and(f32.gt(newProducts, f32.const(0)), f32.gt(newSquares, f32.const(0)));
    const tryOne: Statement[] = [
      newProducts.set(f32.sub(products, f32.mul(f32.mul(weight, value), stored))),
      newSquares.set(f32.sub(squares, f32.mul(f32.mul(weight, stored), stored))),
      when(bothPositive, [
        ...atMost(nearestIntegerOf(f32.div(f32.mul(value, newSquares), newProducts))),
        when(i32.ne(code, i32.load8U(codeAddress)), move),
      ]),
    ];
    return [
      products.set(f32.const(0)),
      squares.set(f32.const(0)),
      ...each(
        ...atMost(nearestIntegerOf(f32.mul(inverse, value))),
        i32.store8(codeAddress, code),
        products.set(f32.add(products, f32.mul(f32.mul(weight, value), f32.fromI32(code)))),
        squares.set(f32.add(squares, f32.mul(f32.mul(weight, f32.fromI32(code)), f32.fromI32(code)))),
      ),
      changed.set(i32.const(1)),
      round.set(i32.const(0)),
      loop(round, 1, i32.const(5), [when(changed, [changed.set(i32.const(0)), ...each(...tryOne)])]),
      give(choose(f32.gt(squares, f32.const(0)), f32.div(products, squares), f32.const(0))),
    ];
  }
}
