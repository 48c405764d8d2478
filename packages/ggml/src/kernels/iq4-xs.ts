/**
 * @file The kernel of IQ4_XS under importance weights: ggml's `quantize_row_iq4_nl_impl` on super-blocks. Sixteen scales are
 * tried for each sub-block of 32; four sub-blocks are searched side by side, each lane with ggml's own operations in
 * ggml's order.
 */
import { codebook, findNearest, valuesAt } from './codebook.js';
import { gather } from './gather.js';
import { makeToHalf } from './half.js';
import { type Kernel, overRows, sumOfSquares } from './kernel.js';
import * as layout from './layout.js';
import { nearestIntegerOf } from './scale-codes.js';
import { packBytes } from './vectors.js';
import {
  f32,
  type F32,
  f32x4,
  i32,
  type I32,
  i8x16,
  type Statement,
  v128,
  type V128,
} from './instructions.js';
import { call, choose, type Local, loop, result, WasmFunction, when } from './wasm.js';

const SUB_BLOCK = 32;
const SUB_BLOCKS = layout.SUPER_BLOCK / SUB_BLOCK;
/** `GROUP_MAX_EPS` */
const SMALLEST = 1e-15;
const TRIES = 7;
const BLOCK_BYTES = 136;
/** Block: d, 2 bytes of high bits of the scales, 4 bytes of low bits, 128 bytes of codes. */
const HIGH_SCALES = 2;
const LOW_SCALES = 4;
const CODES = 8;

const zero = i32.const(0);

/** `search(x, importance, sigma2, group)`: the best scale of four neighbouring sub-blocks. */
function makeScaleSearch(): WasmFunction<null> {
  const fn = new WasmFunction(['i32', 'i32', 'f32', 'i32'], null);
  const group = fn.parameter(3, 'i32');
  const i = fn.local('i32');
  const [
    largest,
    signed,
    magnitude,
    inverse,
    products,
    squares,
    index,
    scaled,
    weighted,
    scale,
    best,
    better,
  ] = Array.from({ length: 12 }, () => fn.local('v128'));
  const x = v128.load(i, layout.X);
  const w = v128.load(i, layout.W);
  const each = (...body: Statement[]): Statement[] => [
    i.set(zero),
    loop(i, 16, i32.const(16 * SUB_BLOCK), body),
  ];
  const fit = (at: V128): Statement[] => [
    inverse.set(at),
    products.set(f32x4.const(0)),
    squares.set(f32x4.const(0)),
    ...each(
      scaled.set(f32x4.mul(inverse, x)),
      ...findNearest(scaled, index),
      scaled.set(valuesAt(index)),
      weighted.set(f32x4.mul(w, scaled)),
      products.set(f32x4.add(products, f32x4.mul(weighted, x))),
      squares.set(f32x4.add(squares, f32x4.mul(weighted, scaled))),
    ),
  ];
  const solvable = f32x4.gt(squares, f32x4.const(0));
  const tried = f32x4.div(products, squares);
  const improves = f32x4.gt(f32x4.mul(products, products), f32x4.mul(best, squares));
  fn.add(
    ...gather(fn, SUB_BLOCK),
    largest.set(f32x4.const(0)),
    signed.set(f32x4.const(0)),
    ...each(
      magnitude.set(f32x4.abs(x)),
      better.set(f32x4.gt(magnitude, largest)),
      largest.set(v128.select(better, magnitude, largest)),
      signed.set(v128.select(better, x, signed)),
    ),
    ...fit(f32x4.div(f32x4.const(1), f32x4.div(f32x4.neg(signed), f32x4.const(codebook[0])))),
    scale.set(v128.and(tried, solvable)),
    best.set(f32x4.mul(scale, products)),
  );
  for (let offset = -TRIES; offset <= TRIES; offset++) {
    fn.add(
      ...fit(f32x4.div(f32x4.const(offset + codebook[0]), signed)),
      better.set(v128.and(solvable, improves)),
      scale.set(v128.select(better, tried, scale)),
      best.set(v128.select(better, f32x4.mul(scale, products), best)),
    );
  }
  const flat = f32x4.lt(largest, f32x4.const(SMALLEST));
  fn.add(v128.store(i32.mul(group, i32.const(16)), v128.andNot(scale, flat), layout.SCALES));
  return fn;
}

function makeBlock(search: WasmFunction<null>, toHalf: WasmFunction<'i32'>): WasmFunction<null> {
  const fn = new WasmFunction(['i32', 'i32', 'i32'], null);
  const [x, importance, target] = [0, 1, 2].map((index) => fn.parameter(index, 'i32'));
  const i = fn.local('i32');
  const [sum, largest, d, inverse, step, stepInverse] = Array.from({ length: 6 }, () => fn.local('f32'));
  const code = fn.local('i32');
  fn.add(...sumOfSquares(x, i, sum), sum.set(f32.mul(sum, f32.const(2 / layout.SUPER_BLOCK))));
  for (let group = 0; group < SUB_BLOCKS / 4; group++) {
    const offset = i32.const(group * 4 * SUB_BLOCK * 4);
    fn.add(call(search, i32.add(x, offset), i32.add(importance, offset), sum, i32.const(group)));
  }
  const scaleOf = (subBlock: number): F32 => f32.load(zero, layout.SCALES + 4 * subBlock);
  const orZero = (value: F32, divisor: F32): F32 =>
    choose(f32.ne(divisor, f32.const(0)), value, f32.const(0));
  fn.add(largest.set(f32.const(0)));
  for (let j = 0; j < SUB_BLOCKS; j++) {
    fn.add(when(f32.gt(f32.abs(scaleOf(j)), f32.abs(largest)), [largest.set(scaleOf(j))]));
  }
  fn.add(
    d.set(f32.div(f32.neg(largest), f32.const(32))),
    i32.store16(target, result(toHalf, d)),
    i32.store16(target, zero, HIGH_SCALES),
    inverse.set(orZero(f32.div(f32.const(1), d), d)),
  );
  const coder = new SubBlockCoder(fn, x);
  for (let j = 0; j < SUB_BLOCKS; j++) {
    fn.add(
      code.set(clampScale(nearestIntegerOf(f32.mul(inverse, scaleOf(j))))),
      step.set(f32.mul(d, f32.fromI32(code))),
      stepInverse.set(orZero(f32.div(f32.const(1), step), step)),
      ...coder.encode(j, stepInverse),
      ...storeScale(target, j, i32.add(code, i32.const(32))),
    );
  }
  fn.add(...packCodes(target));
  return fn;
}

function clampScale(code: I32): I32 {
  const atMost = choose(i32.ltS(code, i32.const(31)), code, i32.const(31));
  return choose(i32.ltS(i32.const(-32), atMost), atMost, i32.const(-32));
}

/** Four low bits of each scale in bytes of two, two high bits of each in one word. */
function storeScale(block: I32, j: number, code: I32): Statement[] {
  const low = i32.and(code, i32.const(15));
  const place = LOW_SCALES + (j >> 1);
  const high = i32.shl(i32.shrU(code, i32.const(4)), i32.const(2 * j));
  return [
    j % 2 === 0
      ? i32.store8(block, low, place)
      : i32.store8(block, i32.or(i32.load8U(block, place), i32.shl(low, i32.const(4))), place),
    i32.store16(block, i32.or(i32.load16U(block, HIGH_SCALES), high), HIGH_SCALES),
  ];
}

/** The final codes of a sub-block, one byte a weight, in the scratch memory. */
class SubBlockCoder {
  private readonly x: I32;
  private readonly scaled: Local<'v128'>;
  private readonly indices: readonly Local<'v128'>[];

  constructor(fn: WasmFunction<null>, x: I32) {
    this.x = x;
    this.scaled = fn.local('v128');
    this.indices = Array.from({ length: 4 }, () => fn.local('v128'));
  }

  encode(subBlock: number, inverse: F32): Statement[] {
    return [0, 16].flatMap((part) => {
      const first = subBlock * SUB_BLOCK + part;
      const [a, b, c, d] = this.indices;
      return [
        ...this.indices.flatMap((index, quarter) => [
          this.scaled.set(f32x4.mul(f32x4.splat(inverse), v128.load(this.x, 4 * (first + 4 * quarter)))),
          ...findNearest(this.scaled, index),
        ]),
        v128.store(zero, packBytes(a, b, c, d), layout.BLOCK_CODES + first),
      ];
    });
  }
}

/** Weight l and weight l + 16 of a sub-block share a byte. */
function packCodes(block: I32): Statement[] {
  return Array.from({ length: SUB_BLOCKS }, (_, j) => {
    const codes = (part: number): V128 => v128.load(zero, layout.BLOCK_CODES + SUB_BLOCK * j + part);
    return v128.store(block, v128.or(codes(0), i8x16.shl(codes(16), 4)), CODES + 16 * j);
  });
}

export function makeIq4Xs(): Kernel {
  const toHalf = makeToHalf();
  const search = makeScaleSearch();
  const block = makeBlock(search, toHalf);
  return {
    functions: overRows([toHalf, search], { encode: block, size: layout.SUPER_BLOCK, bytes: BLOCK_BYTES }),
    constants: [],
    blockSize: layout.SUPER_BLOCK,
  };
}
