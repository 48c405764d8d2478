/**
 * @file The kernel of IQ1_M: ggml's `quantize_row_iq1_m_impl`. A sub-block of 16 weights is split into
 * three levels by the best of all splits, each 8 levels are stored as an index into a grid and a shift, and the super-block's
 * scale is fitted at the end, to all weights as they are coded.
 */
import { clear, indexOf, merge, scaleCode, shifted, SuperBlockWriter } from './grid-block.js';
import type { ErrorWeights } from './error-weights.js';
import * as layout from './grid-layout.js';
import { gridShapes } from './grids.js';
import { makeToHalf } from './half.js';
import { PairSplitSearch, splitTerms } from './iq1-m-split.js';
import { type Kernel, overRows } from './kernel.js';
import { SUPER_BLOCK } from './layout.js';
import { makeSplitSearch } from './iq1-search.js';
import { DELTA, levelValue, makeWeigh } from './ternary.js';
import { f32, type F32, i32, type I32, type Statement } from './instructions.js';
import { choose, give, loop, result, WasmFunction, when } from './wasm.js';

const SIZE = 16;
const SUB_BLOCKS = SUPER_BLOCK / SIZE;
const BLOCK_BYTES = 56;
/** Block: 32 bytes of low bits of indices, 16 bytes of high bits and shifts, 8 bytes of scales, theirs and the block's. */
const HIGH_BITS = 32;
const SCALES = 48;
/** `GROUP_MAX_EPS_IQ1_M` */
const LEAST = 1e-7;
const LARGEST_SCALE = 7;
/** What ggml multiplies the super-block's scale by. */
const FUDGE = 1.1125;

const zero = i32.const(0);

/** The shift of a sub-block's group. */
function deltaOf(down: I32, group: number): F32 {
  const isDown = i32.and(down, i32.const(2 - group));
  return choose(isDown, f32.const(-DELTA), f32.const(DELTA));
}

/** Indices of the two groups, and their points for the fit at the end. */
function packIndices(block: I32, j: number): Statement[] {
  const [low, high] = [0, 1].map((group) => indexOf(gridShapes.IQ1_S, group));
  const above = (index: I32): I32 => i32.shrU(index, i32.const(8));
  return [
    i32.store8(block, low, 2 * j),
    i32.store8(block, high, 2 * j + 1),
    i32.store8(block, i32.or(above(low), shifted(above(high), 4)), HIGH_BITS + j),
    ...[0, 4].map((place) =>
      i32.store(zero, i32.load(zero, layout.BEST_FOUND + place), layout.POINTS + 8 * j + place),
    ),
  ];
}

/** `fit(values, importance, sigma2, step)`: the super-block's scale by all codes; `step` where their weights are zero. */
function makeFit(weigh: WasmFunction<'f32'>): WasmFunction<'f32'> {
  const fn = new WasmFunction(['i32', 'i32', 'f32', 'f32'], 'f32');
  const [x, importance] = [0, 1].map((index) => fn.parameter(index, 'i32'));
  const [sigma2, step] = [2, 3].map((index) => fn.parameter(index, 'f32'));
  const [subBlock, down, code, axis, at, bytes] = Array.from({ length: 6 }, () => fn.local('i32'));
  const [products, squares, factor, level, weighted, inverse, ignored] = Array.from({ length: 7 }, () =>
    fn.local('f32'),
  );
  const group = (which: number): Statement[] => [
    code.set(i32.load(i32.shl(subBlock, i32.const(1)), layout.POINTS + 4 * which)),
    axis.set(zero),
    loop(axis, 2, i32.const(16), [
      at.set(i32.add(i32.shl(axis, i32.const(1)), i32.const(32 * which))),
      level.set(f32.mul(levelValue(code, axis, deltaOf(down, which)), factor)),
      weighted.set(f32.mul(f32.load(at, layout.WEIGHTS), level)),
      products.set(f32.add(products, f32.mul(weighted, f32.load(i32.add(i32.add(x, bytes), at))))),
      squares.set(f32.add(squares, f32.mul(weighted, level))),
    ]),
  ];
  const scale = scaleCode(LARGEST_SCALE, f32.mul(inverse, f32.load(subBlock, layout.SCALES)));
  fn.add(
    products.set(f32.const(0)),
    squares.set(f32.const(0)),
    inverse.set(f32.div(f32.const(1), step)),
    subBlock.set(zero),
    loop(subBlock, 4, i32.const(4 * SUB_BLOCKS), [
      bytes.set(i32.mul(subBlock, i32.const(SIZE))),
      ignored.set(result(weigh, i32.add(x, bytes), i32.add(importance, bytes), sigma2)),
      factor.set(f32.fromI32(i32.add(shifted(scale, 1), i32.const(1)))),
      down.set(i32.load(subBlock, layout.SHIFTS)),
      ...group(0),
      ...group(1),
    ]),
    when(f32.gt(squares, f32.const(0)), [give(f32.div(products, squares))]),
    give(step),
  );
  return fn;
}

/** Four scales of three bits a word; the half of the super-block in what is left of the four words. */
function packScales(block: I32, half: I32, codes: (j: number) => I32): Statement[] {
  return [0, 1, 2, 3].map((word) => {
    const scales = [0, 1, 2, 3].map((j) => shifted(codes(4 * word + j), 3 * j)).reduce(i32.or);
    const part = i32.and(i32.shrU(half, i32.const(4 * word)), i32.const(15));
    return i32.store16(block, i32.or(scales, shifted(part, 12)), SCALES + 2 * word);
  });
}

/** Shifts of a sub-block's groups: bits 3 and 7. */
function packShifts(block: I32, j: number): Statement {
  const down = i32.load(zero, layout.SHIFTS + 4 * j);
  const [first, second] = [shifted(i32.and(down, i32.const(2)), 2), shifted(i32.and(down, i32.const(1)), 7)];
  return merge(block, HIGH_BITS + j, i32.or(first, second));
}

function makeBlock(
  search: WasmFunction<'i32'>,
  fit: WasmFunction<'f32'>,
  toHalf: WasmFunction<'i32'>,
): WasmFunction<null> {
  const block = new SuperBlockWriter({
    size: SIZE,
    bytes: BLOCK_BYTES,
    sigmaFactor: 2,
    mostScale: LARGEST_SCALE,
  });
  const { fn, importance, sigma2, step, subBlocks, target, x } = block;
  const half = fn.local('i32');
  const fitted = result(fit, x, importance, sigma2, step);
  fn.add(...clear(i32.const(layout.POINTS), 8 * SUB_BLOCKS));
  block.search(search, (j) => packIndices(target, j));
  block.whereScaled([
    half.set(result(toHalf, f32.mul(fitted, f32.const(FUDGE)))),
    ...subBlocks.map((j) => packShifts(target, j)),
    ...packScales(target, half, (j) => block.scaleCode(j)),
  ]);
  return fn;
}

export function makeIq1M(errors: ErrorWeights): Kernel {
  const toHalf = makeToHalf();
  const weigh = makeWeigh(SIZE, errors);
  const { helpers, search } = makeSplitSearch({
    size: SIZE,
    least: LEAST,
    weigh,
    sums: splitTerms,
    finder: (fn) => new PairSplitSearch(fn),
    shifts: 3,
    deltas: (down) => [0, 1].map((group) => deltaOf(down, group)),
  });
  const fit = makeFit(weigh);
  const block = makeBlock(search, fit, toHalf);
  return {
    functions: overRows([toHalf, weigh, ...helpers, search, fit], {
      encode: block,
      size: SUPER_BLOCK,
      bytes: BLOCK_BYTES,
    }),
    constants: [],
    grid: 'IQ1_S',
    blockSize: SUPER_BLOCK,
  };
}
