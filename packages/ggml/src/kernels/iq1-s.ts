/**
 * @file The kernel of IQ1_S under importance weights: ggml's `quantize_row_iq1_s_impl`. A sub-block of 32 weights is split into
 * three levels by the best of all splits, and each 8 levels are stored as an index into a grid.
 */
import { indexOf, shifted, SuperBlockWriter } from './grid-block.js';
import * as layout from './grid-layout.js';
import { makeNearest } from './grid-nearest.js';
import { gridShapes } from './grids.js';
import { makeToHalf } from './half.js';
import { prefixSums, SplitSearch } from './iq1-s-split.js';
import { type Kernel, overRows } from './kernel.js';
import { SUPER_BLOCK } from './layout.js';
import { codesOfSplit, DELTA, makeSettle, makeSort, makeWeigh } from './ternary.js';
import { f32, i32, type I32, type Statement, type ValueType } from './instructions.js';
import { call, choose, give, result, WasmFunction, when } from './wasm.js';

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

/** `search(values, importance, sigma2, offset)`: codes, scale and shift of a sub-block; 0 where it has no codes. */
function makeSearch(): { helpers: WasmFunction<ValueType | null>[]; search: WasmFunction<'i32'> } {
  const weigh = makeWeigh(SIZE, 'importance');
  const sort = makeSort(SIZE);
  const nearest = makeNearest(gridShapes.IQ1_S);
  const settle = makeSettle(SIZE, nearest);
  const fn = new WasmFunction(['i32', 'i32', 'f32', 'i32'], 'i32');
  const [x, importance] = [0, 1].map((index) => fn.parameter(index, 'i32'));
  const sigma2 = fn.parameter(2, 'f32');
  const offset = fn.parameter(3, 'i32');
  const mirrored = fn.local('i32');
  const delta = fn.local('f32');
  const split = new SplitSearch(fn);
  const { down, first, scale } = split;
  const without = [
    f32.store(offset, f32.const(0), layout.SCALES),
    i32.store(offset, zero, layout.SHIFTS),
    give(zero),
  ];
  fn.add(
    when(f32.lt(result(weigh, x, importance, sigma2), f32.const(LEAST)), without),
    call(sort, x),
    ...prefixSums(fn, x),
    ...split.run(fn),
    when(i32.ltS(first, zero), without),
    mirrored.set(f32.lt(scale, f32.const(0))),
    ...codesOfSplit(fn, SIZE, split, mirrored),
    when(mirrored, [scale.set(f32.neg(scale)), down.set(i32.xor(down, i32.const(1)))]),
    delta.set(choose(down, f32.const(-DELTA), f32.const(DELTA))),
    ...Array.from({ length: SIZE / 8 }, (_, group) => f32.store(zero, delta, layout.DELTAS + 4 * group)),
    f32.store(offset, result(settle, x, scale), layout.SCALES),
    i32.store(offset, down, layout.SHIFTS),
    give(i32.const(1)),
  );
  return { helpers: [weigh, sort, nearest, settle], search: fn };
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
  const { helpers, search } = makeSearch();
  const block = makeBlock(search, toHalf);
  return {
    functions: overRows([toHalf, ...helpers, search], {
      encode: block,
      size: SUPER_BLOCK,
      bytes: BLOCK_BYTES,
    }),
    constants: [],
    grid: 'IQ1_S',
    blockSize: SUPER_BLOCK,
  };
}
