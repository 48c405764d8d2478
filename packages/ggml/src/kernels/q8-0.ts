/** @file The kernel of Q8_0: ggml's `quantize_row_q8_0_ref`. A block of 32 weights is divided by its largest magnitude / 127. */
import { makeToHalf } from './half.js';
import { type Kernel, overRows } from './kernel.js';
import { f32, type F32, f32x4, i16x8, i32, i32x4, i8x16, v128, type V128 } from './instructions.js';
import { choose, type Local, result, WasmFunction } from './wasm.js';

const BLOCK_SIZE = 32;
/** Block: d, 32 bytes of codes. */
const BLOCK_BYTES = 34;
const MOST = 127;

export function makeQ80(): Kernel {
  const toHalf = makeToHalf();
  const block = makeBlock(toHalf);
  return {
    functions: overRows([toHalf], { encode: block, size: BLOCK_SIZE, bytes: BLOCK_BYTES }),
    constants: [],
    blockSize: BLOCK_SIZE,
  };
}

function makeBlock(toHalf: WasmFunction<'i32'>): WasmFunction<null> {
  const fn = new WasmFunction(['i32', 'i32', 'i32'], null);
  const x = fn.parameter(0, 'i32');
  const target = fn.parameter(2, 'i32');
  const values = Array.from({ length: BLOCK_SIZE / 4 }, () => fn.local('v128'));
  const largest = fn.local('v128');
  const [d, inverse] = [0, 1].map(() => fn.local('f32'));
  fn.add(
    ...values.map((value, index) => value.set(v128.load(x, 16 * index))),
    largest.set(values.map((value) => f32x4.abs(value)).reduce((a, b) => f32x4.pmax(a, b))),
    d.set(f32.div(largestLane(largest), f32.const(MOST))),
    inverse.set(choose(f32.ne(d, f32.const(0)), f32.div(f32.const(1), d), f32.const(0))),
    i32.store16(target, result(toHalf, d)),
    ...values.map((value) => value.set(f32x4.mul(value, f32x4.splat(inverse)))),
  );
  for (const half of [0, 1]) {
    const [a, b, c, e] = values.slice(4 * half, 4 * half + 4).map(rounded);
    const bytes = i8x16.narrowI16x8S(i16x8.narrowI32x4S(a, b), i16x8.narrowI32x4S(c, e));
    fn.add(v128.store(target, bytes, 2 + 16 * half));
  }
  return fn;
}

function largestLane(vector: V128): F32 {
  const lanes = [0, 1, 2, 3].map((lane) => f32x4.lane(vector, lane));
  return lanes.reduce((a, b) => choose(f32.gt(a, b), a, b));
}

/** C's `roundf`, halves away from zero, as integers. What passes every integer becomes 0, as in ggml's machine code. */
function rounded(value: Local<'v128'>): V128 {
  const whole = f32x4.trunc(value);
  const rest = f32x4.abs(f32x4.sub(value, whole));
  const unit = v128.or(f32x4.const(1), v128.and(value, i32x4.const(0x80000000 | 0)));
  const up = v128.and(unit, f32x4.ge(rest, f32x4.const(0.5)));
  const inside = f32x4.lt(f32x4.abs(value), f32x4.const(2 ** 31));
  return i32x4.fromF32x4(v128.and(f32x4.add(whole, up), inside));
}
