/**
 * @file Kernels of the K-quants without minima (Q3_K, Q6_K) under importance weights: ggml's `quantize_row_q3_K_impl` and
 * `quantize_row_q6_K_impl`. A super-block has 16 sub-blocks of 16 weights, each with a scale of its own.
 */
import { gather } from './gather.js';
import { fromHalf, makeToHalf } from './half.js';
import { type Kernel, overRows, sumOfSquares } from './kernel.js';
import * as layout from './layout.js';
import { levelCodes, LevelSearch, levelSteps } from './level-search.js';
import { nearestIntegerOf } from './scale-codes.js';
import { nearestInteger, packBytes } from './vectors.js';
import {
  f32,
  type F32,
  f32x4,
  i32,
  i32x4,
  type I32,
  i8x16,
  type Statement,
  v128,
  type V128,
} from './instructions.js';
import { call, choose, give, loop, result, WasmFunction, when } from './wasm.js';

const SUB_BLOCK = 16;
const SUB_BLOCKS = layout.SUPER_BLOCK / SUB_BLOCK;
const GROUP_BYTES = 4 * 4 * SUB_BLOCK;
/** `GROUP_MAX_EPS` */
const SMALLEST = 1e-15;
const zero = i32.const(0);

/** `search(x, importance, sigma2, group)`: the best scale of four neighbouring sub-blocks. */
function makeSearch(levels: number, errors: 'by magnitude' | 'as given'): WasmFunction<null> {
  const fn = new WasmFunction(['i32', 'i32', 'f32', 'i32'], null);
  const group = fn.parameter(3, 'i32');
  const i = fn.local('i32');
  const sum = fn.local('v128');
  const search = new LevelSearch(fn, SUB_BLOCK, levels, layout.STEPS);
  fn.add(
    ...gather(fn, SUB_BLOCK, errors),
    sum.set(f32x4.const(0)),
    i.set(zero),
    loop(i, 16, i32.const(16 * SUB_BLOCK), [sum.set(f32x4.add(sum, v128.load(i, layout.W)))]),
    v128.store(i32.mul(group, i32.const(16)), sum, layout.IMPORTANCE_SUMS),
    ...search.run(),
    ...search.store(group),
  );
  return fn;
}

function searchAll(search: WasmFunction<null>, x: I32, importance: I32, sigma2: F32): Statement[] {
  return Array.from({ length: SUB_BLOCKS / 4 }, (_, group) => {
    const offset = i32.const(group * GROUP_BYTES);
    return call(search, i32.add(x, offset), i32.add(importance, offset), sigma2, i32.const(group));
  });
}

/** The final codes of a sub-block: by its scale as stored, or, where that came out as zero, those of the search. */
function codeWeights(x: I32, subBlock: number, scale: F32, levels: number): Statement {
  const codes = (of: (value: V128) => V128): Statement => {
    const [a, b, c, d] = [0, 1, 2, 3].map((index) =>
      of(v128.load(x, 4 * (SUB_BLOCK * subBlock + 4 * index))),
    );
    return v128.store(zero, packBytes(a, b, c, d), layout.BLOCK_CODES + SUB_BLOCK * subBlock);
  };
  const found = (table: number): V128 => v128.loadSplat32(zero, table + 4 * subBlock);
  const clamped = (value: V128): V128 =>
    i32x4.maxS(i32x4.minS(value, i32x4.const(levels - 1)), i32x4.const(-levels));
  return when(
    f32.ne(scale, f32.const(0)),
    [
      codes((value) =>
        i32x4.add(clamped(nearestInteger(f32x4.div(value, f32x4.splat(scale)))), i32x4.const(levels)),
      ),
    ],
    [
      codes((value) =>
        i32x4.add(levelCodes(found(layout.BEST_INVERSE), value, levels), found(layout.BEST_MINIMUM)),
      ),
    ],
  );
}

/** 16 codes of the super-block, from weight `first` on. */
function codesAt(first: number): V128 {
  return v128.load(zero, layout.BLOCK_CODES + first);
}

/** Block: 32 bytes of third bits, 64 bytes of low bits, 12 bytes of scales of 6 bits, d. */
const q3K = { levels: 4, scaleLevels: 32, blockBytes: 110, lowBits: 32, scales: 96, half: 108 };

export function makeQ3K(): Kernel {
  const toHalf = makeToHalf();
  const search = makeSearch(q3K.levels, 'by magnitude');
  const codeScales = makeScaleSearch();
  const block = new WasmFunction(['i32', 'i32', 'i32'], null);
  const [x, importance, target] = [0, 1, 2].map((index) => block.parameter(index, 'i32'));
  const i = block.local('i32');
  const [sum, scale] = [0, 1].map(() => block.local('f32'));
  const sigma2 = f32.div(f32.mul(f32.const(2), sum), f32.const(layout.SUPER_BLOCK));
  block.add(
    ...sumOfSquares(x, i, sum),
    ...searchAll(search, x, importance, sigma2),
    i32.store16(target, result(toHalf, result(codeScales)), q3K.half),
    ...packQ3Scales(target),
  );
  for (let j = 0; j < SUB_BLOCKS; j++) {
    const d = fromHalf(i32.load16U(target, q3K.half));
    block.add(scale.set(f32.mul(d, f32.fromI32(q3Scale(target, j)))), codeWeights(x, j, scale, q3K.levels));
  }
  block.add(...packQ3Codes(target));
  return {
    functions: overRows([toHalf, search, codeScales], {
      encode: block,
      size: layout.SUPER_BLOCK,
      bytes: q3K.blockBytes,
    }),
    constants: [
      { address: layout.STEPS, values: levelSteps(q3K.levels) },
      { address: layout.SCALE_STEPS, values: levelSteps(q3K.scaleLevels) },
    ],
    blockSize: layout.SUPER_BLOCK,
  };
}

/** `run()`: the codes of the scales, one byte each, and the step between them. The same search; all lanes hold the same. */
function makeScaleSearch(): WasmFunction<'f32'> {
  const fn = new WasmFunction([], 'f32');
  const search = new LevelSearch(fn, SUB_BLOCKS, q3K.scaleLevels, layout.SCALE_STEPS);
  const code = fn.local('v128');
  const scaleOf = (j: number): V128 => v128.loadSplat32(zero, layout.SCALES + 4 * j);
  for (let j = 0; j < SUB_BLOCKS; j++) {
    fn.add(
      v128.store(zero, scaleOf(j), layout.X + 16 * j),
      v128.store(zero, v128.loadSplat32(zero, layout.IMPORTANCE_SUMS + 4 * j), layout.W + 16 * j),
    );
  }
  fn.add(...search.run());
  for (let j = 0; j < SUB_BLOCKS; j++) {
    fn.add(
      code.set(i32x4.add(levelCodes(search.inverse, scaleOf(j), q3K.scaleLevels), search.offset)),
      i32.store8(zero, i32x4.lane(code, 0), layout.SCALE_CODES + j),
    );
  }
  fn.add(give(f32x4.lane(search.scale, 0)));
  return fn;
}

/** Four low bits of scales j and j + 8 share a byte, the two high bits of scales j, j + 4, j + 8 and j + 12 another. */
function packQ3Scales(block: I32): Statement[] {
  const code = (j: number): I32 => i32.load8U(zero, layout.SCALE_CODES + j);
  const low = (j: number): I32 => i32.and(code(j), i32.const(15));
  const high = (j: number): I32 => i32.shrU(code(j), i32.const(4));
  return [
    ...Array.from({ length: 8 }, (_, j) =>
      i32.store8(block, i32.or(low(j), i32.shl(low(j + 8), i32.const(4))), q3K.scales + j),
    ),
    ...Array.from({ length: 4 }, (_, j) => {
      const parts = [0, 1, 2, 3].map((k) => i32.shl(high(j + 4 * k), i32.const(2 * k)));
      return i32.store8(
        block,
        parts.reduce((a, b) => i32.or(a, b)),
        q3K.scales + 8 + j,
      );
    }),
  ];
}

function q3Scale(block: I32, j: number): I32 {
  const byte = i32.load8U(block, q3K.scales + (j % 8));
  const low = j < 8 ? i32.and(byte, i32.const(15)) : i32.shrU(byte, i32.const(4));
  const shifted = i32.shrU(i32.load8U(block, q3K.scales + 8 + (j % 4)), i32.const(2 * Math.floor(j / 4)));
  const high = i32.shl(i32.and(shifted, i32.const(3)), i32.const(4));
  return i32.sub(i32.or(low, high), i32.const(32));
}

function packQ3Codes(block: I32): Statement[] {
  const merge = (parts: readonly V128[]): V128 => parts.reduce((a, b) => v128.or(a, b));
  return [0, 16].flatMap((part) => {
    const third = Array.from({ length: 8 }, (_, k) => i8x16.shl(i8x16.shrU(codesAt(32 * k + part), 2), k));
    const low = [0, 128].map((first) => {
      const twoBits = [0, 1, 2, 3].map((k) =>
        i8x16.shl(v128.and(codesAt(first + 32 * k + part), i8x16.splat(3)), 2 * k),
      );
      return v128.store(block, merge(twoBits), q3K.lowBits + first / 4 + part);
    });
    return [v128.store(block, merge(third), part), ...low];
  });
}

/** Block: 128 bytes of low bits, 64 bytes of high bits, 16 scales, d. */
const q6K = { levels: 32, blockBytes: 210, highBits: 128, scales: 192, half: 208 };

export function makeQ6K(): Kernel {
  const toHalf = makeToHalf();
  const search = makeSearch(q6K.levels, 'as given');
  const block = new WasmFunction(['i32', 'i32', 'i32'], null);
  const [x, importance, target] = [0, 1, 2].map((index) => block.parameter(index, 'i32'));
  const [largest, inverse, scale] = [0, 1, 2].map(() => block.local('f32'));
  const scaleOf = (j: number): F32 => f32.load(zero, layout.SCALES + 4 * j);
  block.add(...searchAll(search, x, importance, f32.const(0)), largest.set(f32.const(0)));
  for (let j = 0; j < SUB_BLOCKS; j++) {
    block.add(when(f32.gt(f32.abs(scaleOf(j)), f32.abs(largest)), [largest.set(scaleOf(j))]));
  }
  const encode: Statement[] = [
    inverse.set(f32.div(f32.const(-128), largest)),
    i32.store16(target, result(toHalf, f32.div(f32.const(1), inverse)), q6K.half),
  ];
  for (let j = 0; j < SUB_BLOCKS; j++) {
    const code = nearestIntegerOf(f32.mul(inverse, scaleOf(j)));
    const atMost = choose(i32.ltS(code, i32.const(127)), code, i32.const(127));
    const d = fromHalf(i32.load16U(target, q6K.half));
    encode.push(
      i32.store8(target, atMost, q6K.scales + j),
      scale.set(f32.mul(d, f32.fromI32(i32.load8S(target, q6K.scales + j)))),
      codeWeights(x, j, scale, q6K.levels),
    );
  }
  encode.push(...packQ6Codes(target));
  const empty = Array.from({ length: q6K.blockBytes / 2 }, (_, index) =>
    i32.store16(target, zero, 2 * index),
  );
  block.add(when(f32.lt(f32.abs(largest), f32.const(SMALLEST)), empty, encode));
  return {
    functions: overRows([toHalf, search], { encode: block, size: layout.SUPER_BLOCK, bytes: q6K.blockBytes }),
    constants: [{ address: layout.STEPS, values: levelSteps(q6K.levels) }],
    blockSize: layout.SUPER_BLOCK,
  };
}

/** Of 128 weights, l and l + 64 share a byte of low bits, l, l + 32, l + 64 and l + 96 one of high bits. */
function packQ6Codes(block: I32): Statement[] {
  return [0, 128].flatMap((first) =>
    [0, 16].flatMap((part) => {
      const codes = [0, 32, 64, 96].map((quarter) => codesAt(first + quarter + part));
      const low = codes.map((code) => v128.and(code, i8x16.splat(15)));
      const high = codes.map((code, k) => i8x16.shl(i8x16.shrU(code, 4), 2 * k));
      const place = first / 2 + part;
      return [
        v128.store(block, v128.or(low[0], i8x16.shl(low[2], 4)), place),
        v128.store(block, v128.or(low[1], i8x16.shl(low[3], 4)), place + 32),
        v128.store(
          block,
          high.reduce((a, b) => v128.or(a, b)),
          q6K.highBits + first / 4 + part,
        ),
      ];
    }),
  );
}
