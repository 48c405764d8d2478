/**
 * @file The kernel of IQ1_S under importance weights: ggml's `quantize_row_iq1_s_impl`. A sub-block of 32 weights is split into
 * three levels by the best of all splits, and each 8 levels are stored as an index into a grid.
 */
import { indexOf, shifted, SuperBlockWriter } from './grid-block.js';
import * as layout from './grid-layout.js';
import { gridShapes } from './grids.js';
import { makeToHalf } from './half.js';
import { prefixSums, SplitSearch } from './iq1-s-split.js';
import { type Kernel, overRows } from './kernel.js';
import { SUPER_BLOCK } from './layout.js';
import { makeSplitSearch } from './iq1-search.js';
import { DELTA, makeWeigh } from './ternary.js';
import { f32, type F32, i32, type I32, type Statement } from './instructions.js';
import { choose, result, WasmFunction } from './wasm.js';

const SIZE = 32;
const BLOCK_BYTES = 50;
/** Block: d, 32 bytes of low bits of indices, a sub-block two bytes of high bits, scale and shift. */
const INDICES = 2;
const HIGH_BITS = 34;
/** `GROUP_MAX_EPS_IQ1_S` */
const LEAST = 1e-12;
/** What ggml multiplies the super-block's scale by. */
const FUDGE = 1.125;

const zero = i32.const(0);

/** The shift of a sub-block. */
function deltaOf(down: I32): F32 {
  return choose(down, f32.const(-DELTA), f32.const(DELTA));
}

/** Low bits of the indices in bytes of their own, the high three bits of each in a word. */
function packIndices(block: I32, j: number): Statement[] {
  const groups = Array.from({ length: SIZE / 8 }, (_, group) => indexOf(gridShapes.IQ1_S, group));
  const high = groups.map((index, group) => shifted(i32.shrU(index, i32.const(8)), 3 * group));
  return [
    ...groups.map((index, group) => i32.store8(block, index, INDICES + (SIZE / 8) * j + group)),
    i32.store16(block, high.reduce(i32.or), HIGH_BITS + 2 * j),
  ];
}

function makeBlock(search: WasmFunction<'i32'>, toHalf: WasmFunction<'i32'>): WasmFunction<null> {
  const block = new SuperBlockWriter({ size: SIZE, bytes: BLOCK_BYTES, sigmaFactor: 2, mostScale: 7 });
  const { fn, step, subBlocks, target } = block;
  const bits = fn.local('i32');
  block.search(search, (j) => packIndices(target, j));
  block.whereScaled([
    i32.store16(target, result(toHalf, f32.mul(step, f32.const(FUDGE)))),
    ...subBlocks.flatMap((j) => [
      bits.set(i32.or(block.scaleCode(j), shifted(i32.load(zero, layout.SHIFTS + 4 * j), 3))),
      bits.set(i32.or(shifted(bits, 12), i32.load16U(target, HIGH_BITS + 2 * j))),
      i32.store16(target, bits, HIGH_BITS + 2 * j),
    ]),
  ]);
  return fn;
}

export function makeIq1S(): Kernel {
  const toHalf = makeToHalf();
  const weigh = makeWeigh(SIZE, 'importance');
  const { helpers, search } = makeSplitSearch({
    size: SIZE,
    least: LEAST,
    weigh,
    sums: prefixSums,
    finder: (fn) => new SplitSearch(fn),
    shifts: 1,
    deltas: (down) => Array.from({ length: SIZE / 8 }, () => deltaOf(down)),
  });
  const block = makeBlock(search, toHalf);
  return {
    functions: overRows([toHalf, weigh, ...helpers, search], {
      encode: block,
      size: SUPER_BLOCK,
      bytes: BLOCK_BYTES,
    }),
    constants: [],
    grid: 'IQ1_S',
    blockSize: SUPER_BLOCK,
  };
}
