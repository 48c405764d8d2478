/**
 * @file Kernels of the K-quants with minima (Q2_K, Q4_K, Q5_K) under importance weights: ggml's `quantize_row_q4_K_impl` and
 * its kin. A super-block of 256 weights has 8 or 16 sub-blocks, each with a scale and a minimum of its own, which are
 * stored as small codes of two half floats.
 */
import { fromHalf, makeToHalf } from './half.js';
import { type Kernel, overRows, sumOfSquares } from './kernel.js';
import * as layout from './layout.js';
import { makeRangeSearch, type RangeSearch, searchSteps } from './range-search.js';
import { makeScaleCoder } from './scale-codes.js';
import { clampInteger, nearestInteger, packBytes } from './vectors.js';
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
import { call, choose, result, WasmFunction, when } from './wasm.js';

/** What the formats differ in. */
interface Format {
  readonly search: RangeSearch;
  /** The largest code of a scale or minimum. */
  readonly mostScale: number;
  /** sigma^2 as a multiple of the mean square. */
  readonly sigmaFactor: number;
  readonly blockBytes: number;
  /** Where the two halves stand in a block. */
  readonly halves: number;
  readonly packScales: (block: I32) => Statement[];
  /** A sub-block's codes of scale and minimum, as the decoder reads them. */
  readonly scaleOf: (block: I32, subBlock: number) => { readonly scale: I32; readonly minimum: I32 };
  readonly packCodes: (block: I32) => Statement[];
}

const zero = i32.const(0);

function makeKernel(format: Format): Kernel {
  const subBlocks = layout.SUPER_BLOCK / format.search.size;
  const toHalf = makeToHalf();
  const search = makeRangeSearch(format.search);
  const codeScales = makeScaleCoder(subBlocks, format.mostScale);
  const block = new WasmFunction(['i32', 'i32', 'i32'], null);
  const [x, importance, target] = [0, 1, 2].map((index) => block.parameter(index, 'i32'));
  const i = block.local('i32');
  const sum = block.local('f32');
  const [scale, minimum] = [0, 1].map(() => block.local('f32'));
  const sigma2 = f32.div(f32.mul(f32.const(format.sigmaFactor), sum), f32.const(layout.SUPER_BLOCK));
  const groupBytes = 4 * 4 * format.search.size;
  block.add(...sumOfSquares(x, i, sum));
  for (let group = 0; group < subBlocks / 4; group++) {
    const offset = i32.const(group * groupBytes);
    block.add(call(search, i32.add(x, offset), i32.add(importance, offset), sigma2, i32.const(group)));
  }
  const half = (table: number, codes: number, place: number): Statement =>
    i32.store16(
      target,
      result(
        toHalf,
        result(codeScales, i32.const(table), i32.const(layout.IMPORTANCE_SUMS), i32.const(codes)),
      ),
      place,
    );
  block.add(
    half(layout.SCALES, layout.SCALE_CODES, format.halves),
    half(layout.MINIMA, layout.MINIMUM_CODES, format.halves + 2),
    ...format.packScales(target),
  );
  const stored = (place: number): F32 => fromHalf(i32.load16U(target, place));
  for (let subBlock = 0; subBlock < subBlocks; subBlock++) {
    const codes = format.scaleOf(target, subBlock);
    block.add(
      scale.set(f32.mul(stored(format.halves), f32.fromI32(codes.scale))),
      minimum.set(f32.mul(stored(format.halves + 2), f32.fromI32(codes.minimum))),
      ...codeWeights(format.search, x, subBlock, scale, minimum),
    );
  }
  block.add(...format.packCodes(target));
  return {
    functions: overRows([toHalf, search, codeScales], {
      encode: block,
      size: layout.SUPER_BLOCK,
      bytes: format.blockBytes,
    }),
    blockSize: layout.SUPER_BLOCK,
    constants: [{ address: layout.STEPS, values: searchSteps(format.search) }],
  };
}

/** The final codes: by the scale as stored, or, where that came out as zero, those of the search. */
function codeWeights(
  { size, most }: RangeSearch,
  x: I32,
  subBlock: number,
  scale: F32,
  minimum: F32,
): Statement[] {
  const first = subBlock * size;
  const codes = (of: (value: V128) => V128): Statement[] =>
    Array.from({ length: size / 16 }, (_, quarter) => {
      const integers = [0, 1, 2, 3].map((index) => {
        const value = v128.load(x, 4 * (first + 16 * quarter + 4 * index));
        return clampInteger(nearestInteger(of(value)), most);
      });
      const [a, b, c, d] = integers;
      return v128.store(zero, packBytes(a, b, c, d), layout.BLOCK_CODES + first + 16 * quarter);
    });
  const found = (table: number): V128 => v128.loadSplat32(zero, table + 4 * subBlock);
  return [
    when(
      f32.ne(scale, f32.const(0)),
      codes((value) => f32x4.div(f32x4.add(value, f32x4.splat(minimum)), f32x4.splat(scale))),
      codes((value) => f32x4.mul(found(layout.BEST_INVERSE), f32x4.sub(value, found(layout.BEST_MINIMUM)))),
    ),
  ];
}

/** 16 codes of the super-block, from weight `first` on. */
function codesAt(first: number): V128 {
  return v128.load(zero, layout.BLOCK_CODES + first);
}

/** Eight scales and eight minima of 6 bits each in 12 bytes. */
const sixBitScales = {
  pack(block: I32, place: number, most?: number): Statement[] {
    const code = (table: number, subBlock: number): I32 => {
      const byte = i32.load8U(zero, table + subBlock);
      return most === undefined ? byte : choose(i32.ltU(i32.const(most), byte), i32.const(most), byte);
    };
    const merge = (at: number, bits: I32): Statement =>
      i32.store8(block, i32.or(i32.load8U(block, place + at), bits), place + at);
    return Array.from({ length: 8 }, (_, j): Statement[] => {
      const scale = code(layout.SCALE_CODES, j);
      const minimum = code(layout.MINIMUM_CODES, j);
      if (j < 4) return [i32.store8(block, scale, place + j), i32.store8(block, minimum, place + j + 4)];
      const low = (byte: I32): I32 => i32.and(byte, i32.const(15));
      const high = (byte: I32): I32 => i32.shl(i32.shrU(byte, i32.const(4)), i32.const(6));
      return [
        i32.store8(block, i32.or(low(scale), i32.shl(low(minimum), i32.const(4))), place + j + 4),
        merge(j - 4, high(scale)),
        merge(j, high(minimum)),
      ];
    }).flat();
  },

  read(block: I32, place: number, j: number): { scale: I32; minimum: I32 } {
    const byte = (at: number): I32 => i32.load8U(block, place + at);
    const low6 = (value: I32): I32 => i32.and(value, i32.const(63));
    if (j < 4) return { scale: low6(byte(j)), minimum: low6(byte(j + 4)) };
    const high = (value: I32): I32 => i32.shl(i32.shrU(value, i32.const(6)), i32.const(4));
    return {
      scale: i32.or(i32.and(byte(j + 4), i32.const(15)), high(byte(j - 4))),
      minimum: i32.or(i32.shrU(byte(j + 4), i32.const(4)), high(byte(j))),
    };
  },
};

/** Low four bits of 64 weights a 32 bytes: weight l and weight l + 32 share a byte. */
function packNibbles(block: I32, place: number): Statement[] {
  const low = (first: number): V128 => v128.and(codesAt(first), i8x16.splat(15));
  return [0, 64, 128, 192].flatMap((first) =>
    [0, 16].map((part) =>
      v128.store(
        block,
        v128.or(low(first + part), i8x16.shl(low(first + part + 32), 4)),
        place + first / 2 + part,
      ),
    ),
  );
}

/** Block: d, dmin, 12 bytes of scales, 128 bytes of codes. */
export const makeQ4K = (): Kernel =>
  makeKernel({
    search: { size: 32, most: 15 },
    mostScale: 63,
    sigmaFactor: 2,
    blockBytes: 144,
    halves: 0,
    packScales: (block) => sixBitScales.pack(block, 4),
    scaleOf: (block, subBlock) => sixBitScales.read(block, 4, subBlock),
    packCodes: (block) => packNibbles(block, 16),
  });

/** Block: d, dmin, 12 bytes of scales, 32 bytes of fifth bits, 128 bytes of low bits. */
export const makeQ5K = (): Kernel =>
  makeKernel({
    search: { size: 32, most: 31 },
    mostScale: 63,
    sigmaFactor: 2,
    blockBytes: 176,
    halves: 0,
    packScales: (block) => sixBitScales.pack(block, 4, 63),
    scaleOf: (block, subBlock) => sixBitScales.read(block, 4, subBlock),
    packCodes: (block) => [
      ...[0, 16].map((part) => {
        const bits = Array.from({ length: 8 }, (_, k) => i8x16.shl(i8x16.shrU(codesAt(32 * k + part), 4), k));
        return v128.store(block, bits.reduce(v128.or), 16 + part);
      }),
      ...packNibbles(block, 48),
    ],
  });

/** Block: 16 bytes of scales and minima of 4 bits each, 64 bytes of codes, d, dmin. */
export const makeQ2K = (): Kernel =>
  makeKernel({
    search: { size: 16, most: 3 },
    mostScale: 15,
    sigmaFactor: 1,
    blockBytes: 84,
    halves: 80,
    packScales: (block) =>
      Array.from({ length: 16 }, (_, j) => {
        const minimum = i32.shl(i32.load8U(zero, layout.MINIMUM_CODES + j), i32.const(4));
        return i32.store8(block, i32.or(i32.load8U(zero, layout.SCALE_CODES + j), minimum), j);
      }),
    scaleOf: (block, j) => ({
      scale: i32.and(i32.load8U(block, j), i32.const(15)),
      minimum: i32.shrU(i32.load8U(block, j), i32.const(4)),
    }),
    packCodes: (block) =>
      [0, 128].flatMap((first) =>
        [0, 16].map((part) => {
          const bits = [0, 1, 2, 3].map((k) => i8x16.shl(codesAt(first + 32 * k + part), 2 * k));
          return v128.store(block, bits.reduce(v128.or), 16 + first / 4 + part);
        }),
      ),
  });
