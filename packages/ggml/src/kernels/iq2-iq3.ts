/**
 * @file Kernels of IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS and IQ3_S: ggml's `quantize_row_iq2_xxs_impl` and its kin. Groups of 8 or 4 weights are stored as an index into a grid, signs apart, and each sub-block has a scale of four
 * bits.
 */
import type { ErrorWeights } from './error-weights.js';
import { clear, indexOf, merge, shifted, SuperBlockWriter } from './grid-block.js';
import * as layout from './grid-layout.js';
import { type GridSearch, gridSteps, makeGridSearch } from './grid-search.js';
import { type GridName, gridShapes } from './grids.js';
import { makeToHalf } from './half.js';
import { type Kernel, overRows } from './kernel.js';
import { SUPER_BLOCK } from './layout.js';
import { f32, i32, type I32, type Statement } from './instructions.js';
import { result } from './wasm.js';

interface Format {
  readonly grid: GridName;
  readonly search: GridSearch;
  /** sigma^2 as a multiple of the mean square. */
  readonly sigmaFactor: 1 | 2;
  /** What ggml multiplies the super-block's scale by. */
  readonly fudge: number;
  readonly blockBytes: number;
  /** Whether codes are cleared where all scales came out as zero. */
  readonly clears: boolean;
  /** Stores a sub-block's indices and signs; `coded` sub-blocks before it have some. */
  readonly pack: (block: I32, subBlock: number, coded: I32) => Statement[];
  /** Stores a sub-block's scale, of four bits. */
  readonly packScale: (block: I32, subBlock: number, code: I32) => Statement;
}

const zero = i32.const(0);

function makeKernel(format: Format): Kernel {
  const { search: settings, sigmaFactor, blockBytes: bytes } = format;
  const toHalf = makeToHalf();
  const { helpers, search } = makeGridSearch(settings);
  const block = new SuperBlockWriter({ size: settings.size, bytes, sigmaFactor, mostScale: 15 });
  const { fn, step, subBlocks, target } = block;
  const [code, coded] = [0, 1].map(() => fn.local('i32'));
  fn.add(coded.set(zero));
  block.search(search, (j) => [...format.pack(target, j, coded), coded.set(i32.add(coded, i32.const(1)))]);
  block.whereScaled(
    [
      i32.store16(target, result(toHalf, f32.mul(step, f32.const(format.fudge)))),
      ...subBlocks.flatMap((j) => [code.set(block.scaleCode(j)), format.packScale(target, j, code)]),
    ],
    format.clears ? clear(target, bytes) : [],
  );
  return {
    functions: overRows([toHalf, ...helpers, search], { encode: fn, size: SUPER_BLOCK, bytes }),
    constants: [{ address: layout.STEPS, values: gridSteps(settings) }],
    grid: format.grid,
    blockSize: SUPER_BLOCK,
  };
}

/** The signs of eight weights. */
function signsOf(eight: number): I32 {
  return i32.load(zero, layout.SIGNS + 4 * eight);
}

const above = (value: I32): I32 => i32.shrU(value, i32.const(8));

/** Seven signs of each of four groups in a word, whose highest four bits are for the scale. */
function signWord(): I32 {
  return [0, 1, 2, 3].map((eight) => shifted(signsOf(eight), 7 * eight)).reduce(i32.or);
}

/** Two scales a byte. */
const nibbleScale =
  (place: number) =>
  (block: I32, j: number, code: I32): Statement =>
    merge(block, place + (j >> 1), shifted(code, 4 * (j % 2)));

/** A scale in the highest bits of the sub-block's word of signs. */
const wordScale =
  (place: (j: number) => number) =>
  (block: I32, j: number, code: I32): Statement =>
    i32.store(block, i32.or(i32.load(block, place(j)), shifted(code, 28)), place(j));

const iq2 = { stepWidth: 0.1, sigmaFactor: 1 } as const;
/** `GROUP_MAX_EPS` and, for IQ2_S and IQ3_XXS, constants of their own. */
const TINY = 1e-15;
const SMALL = 1e-8;

/** Block: d, then a sub-block 4 bytes of indices and a word of signs and scale. */
export const makeIq2Xxs = (): Kernel =>
  makeKernel({
    grid: 'IQ2_XXS',
    search: {
      grid: gridShapes.IQ2_XXS,
      errors: 'importance',
      size: 32,
      steps: 6,
      stepWidth: iq2.stepWidth,
      least: TINY,
      evenSigns: true,
      fitFirst: true,
      refine: 'all',
    },
    sigmaFactor: iq2.sigmaFactor,
    fudge: 1,
    blockBytes: 66,
    clears: true,
    pack: (block, j) => [
      ...[0, 1, 2, 3].map((group) =>
        i32.store8(block, indexOf(gridShapes.IQ2_XXS, group), 2 + 8 * j + group),
      ),
      i32.store(block, signWord(), 6 + 8 * j),
    ],
    packScale: wordScale((j) => 6 + 8 * j),
  });

/** Block: d, 16 bits a group for its index and seven signs, 8 bytes of scales. */
export const makeIq2Xs = (): Kernel =>
  makeKernel({
    grid: 'IQ2_XS',
    search: {
      grid: gridShapes.IQ2_XS,
      errors: 'importance',
      size: 16,
      steps: 9,
      stepWidth: iq2.stepWidth,
      least: TINY,
      evenSigns: true,
      fitFirst: false,
      refine: 'off the grid',
    },
    sigmaFactor: iq2.sigmaFactor,
    fudge: 1,
    blockBytes: 74,
    clears: true,
    pack: (block, j) =>
      [0, 1].map((group) =>
        i32.store16(
          block,
          i32.or(indexOf(gridShapes.IQ2_XS, group), shifted(signsOf(group), 9)),
          2 + 4 * j + 2 * group,
        ),
      ),
    packScale: nibbleScale(66),
  });

/** Block: d, 32 bytes of low bits of indices, 32 bytes of signs, 8 bytes of high bits, 8 bytes of scales. */
export const makeIq2S = (errors: ErrorWeights): Kernel =>
  makeKernel({
    grid: 'IQ2_S',
    search: {
      grid: gridShapes.IQ2_S,
      errors,
      size: 16,
      steps: 9,
      stepWidth: iq2.stepWidth,
      least: SMALL,
      evenSigns: false,
      fitFirst: false,
      refine: 'off the grid',
    },
    sigmaFactor: 2,
    fudge: 0.9875,
    blockBytes: 82,
    clears: false,
    pack: (block, j) =>
      [0, 1].flatMap((part) => {
        const group = 2 * j + part;
        const index = indexOf(gridShapes.IQ2_S, part);
        return [
          i32.store8(block, index, 2 + group),
          i32.store8(block, signsOf(part), 34 + group),
          merge(block, 66 + (group >> 2), shifted(above(index), 2 * (group % 4))),
        ];
      }),
    packScale: nibbleScale(74),
  });

/** Block: d, 64 bytes of indices, a word of signs and scale a sub-block. */
export const makeIq3Xxs = (errors: ErrorWeights): Kernel =>
  makeKernel({
    grid: 'IQ3_XXS',
    search: {
      grid: gridShapes.IQ3_XXS,
      errors,
      size: 32,
      steps: 15,
      stepWidth: 0.2,
      least: SMALL,
      evenSigns: true,
      fitFirst: false,
      refine: 'off the grid',
    },
    sigmaFactor: 2,
    fudge: 1.0125,
    blockBytes: 98,
    clears: true,
    pack: (block, j) => [
      ...Array.from({ length: 8 }, (_, group) =>
        i32.store8(block, indexOf(gridShapes.IQ3_XXS, group), 2 + 8 * j + group),
      ),
      i32.store(block, signWord(), 66 + 4 * j),
    ],
    packScale: wordScale((j) => 66 + 4 * j),
  });

/**
 * Block: d, 64 bytes of low bits of indices, 8 bytes of high bits, 32 bytes of signs, 4 bytes of scales. As in ggml, a
 * sub-block without weights is left out of low bits and signs, so that those of the next stand in its place.
 */
export const makeIq3S = (errors: ErrorWeights): Kernel =>
  makeKernel({
    grid: 'IQ3_S',
    search: {
      grid: gridShapes.IQ3_S,
      errors,
      size: 32,
      steps: 9,
      stepWidth: 0.2,
      least: null,
      evenSigns: false,
      fitFirst: false,
      refine: 'all if any',
    },
    sigmaFactor: 2,
    fudge: 1.033,
    blockBytes: 110,
    clears: false,
    pack: (block, j, coded) => [
      ...Array.from({ length: 8 }, (_, group) => {
        const index = indexOf(gridShapes.IQ3_S, group);
        return [
          i32.store8(i32.add(block, shifted(coded, 3)), index, 2 + group),
          merge(block, 66 + j, shifted(above(index), group)),
        ];
      }).flat(),
      ...[0, 1, 2, 3].map((eight) =>
        i32.store8(i32.add(block, shifted(coded, 2)), signsOf(eight), 74 + eight),
      ),
    ],
    packScale: nibbleScale(106),
  });
