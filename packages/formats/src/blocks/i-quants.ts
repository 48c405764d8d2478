/**
 * @file Super-blocks of 256 whose codes name points of a grid: IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS and IQ3_S, opened. A point holds the
 * magnitudes of 8 or 4 weights; signs are bits of their own, and weight = (scale) x (2 c + 1) x magnitude, with a code c of four bits a
 * sub-block and a half float for all. Layouts as in ggml's `dequantize_row_*`. The points themselves are the engine's to tell.
 */
import type { TensorType } from '../gguf/tensor-types.js';
import { readHalf, writeHalf } from './half.js';

const SIZE = 256;
/** Signs come by eight weights. */
const EIGHTS = SIZE / 8;

/** A super-block, opened. */
export interface GridBlock {
  /** One a point: its index in the grid. */
  readonly points: Uint16Array;
  /** One for eight weights: bit k is set where weight k is negative. */
  readonly signs: Uint8Array;
  /** One a sub-block, 0 to 15. */
  readonly scaleCodes: Uint8Array;
  /** Exact in a half float. */
  scale: number;
}

/** How one of these types stores a super-block. */
export interface GridFormat {
  readonly blockSize: number;
  readonly blockBytes: number;
  /** Weights that a point stands for. */
  readonly dimensions: 8 | 4;
  /** Points of the grid. */
  readonly gridSize: number;
  /** Weights that share a scale code. */
  readonly groupSize: 16 | 32;
  /** Whether an even number of each eight weights is negative, so that seven bits tell all signs. */
  readonly evenSigns: boolean;
  open(bytes: Uint8Array, at: number, block: GridBlock): void;
  /** @param block where signs are even, only seven of eight are read */
  close(block: GridBlock, bytes: Uint8Array, at: number): void;
}

export const mostScaleCode = 15;

export function gridBlock({ dimensions, groupSize }: GridFormat): GridBlock {
  return {
    points: new Uint16Array(SIZE / dimensions),
    signs: new Uint8Array(EIGHTS),
    scaleCodes: new Uint8Array(SIZE / groupSize),
    scale: 0,
  };
}

interface Layout extends Omit<GridFormat, 'blockSize' | 'open' | 'close'> {
  /** All but the scale, which comes first in all of them. */
  readonly openCodes: (bytes: Uint8Array, at: number, block: GridBlock) => void;
  /** Over zeros. */
  readonly closeCodes: (block: GridBlock, bytes: Uint8Array, at: number) => void;
}

function superBlock({ openCodes, closeCodes, ...facts }: Layout): GridFormat {
  return {
    ...facts,
    blockSize: SIZE,
    open(bytes, at, block) {
      block.scale = readHalf(bytes, at);
      openCodes(bytes, at, block);
    },
    close(block, bytes, at) {
      bytes.fill(0, at, at + facts.blockBytes);
      writeHalf(bytes, at, block.scale);
      closeCodes(block, bytes, at);
    },
  };
}

/** The eighth sign makes their number even. */
function evenSigns(seven: number): number {
  let odd = seven ^ (seven >> 4);
  odd ^= odd >> 2;
  odd ^= odd >> 1;
  return seven | ((odd & 1) << 7);
}

/** Seven signs of each of four eights in a word, and the scale of these 32 weights in its highest four bits. */
const signWords = (place: (group: number) => number): Pick<Layout, 'openCodes' | 'closeCodes'> => ({
  openCodes(bytes, at, { signs, scaleCodes }) {
    for (let group = 0; group < scaleCodes.length; group++) {
      const byte = at + place(group);
      const word = bytes[byte] | (bytes[byte + 1] << 8) | (bytes[byte + 2] << 16) | (bytes[byte + 3] << 24);
      for (let k = 0; k < 4; k++) signs[4 * group + k] = evenSigns((word >>> (7 * k)) & 127);
      scaleCodes[group] = word >>> 28;
    }
  },
  closeCodes({ signs, scaleCodes }, bytes, at) {
    for (let group = 0; group < scaleCodes.length; group++) {
      let word = scaleCodes[group] << 28;
      for (let k = 0; k < 4; k++) word |= (signs[4 * group + k] & 127) << (7 * k);
      for (let byte = 0; byte < 4; byte++) bytes[at + place(group) + byte] = word >>> (8 * byte);
    }
  },
});

/** Two scale codes a byte, the first in the low bits. */
const nibbleScales = (place: number): Pick<Layout, 'openCodes' | 'closeCodes'> => ({
  openCodes(bytes, at, { scaleCodes }) {
    for (let group = 0; group < scaleCodes.length; group++)
      scaleCodes[group] = (bytes[at + place + (group >> 1)] >> (4 * (group & 1))) & 15;
  },
  closeCodes({ scaleCodes }, bytes, at) {
    for (let group = 0; group < scaleCodes.length; group++)
      bytes[at + place + (group >> 1)] |= scaleCodes[group] << (4 * (group & 1));
  },
});

/** A byte a point, and where indices are longer, `highBits` more in shared bytes. */
const indexBytes = (
  place: (point: number) => number,
  high?: { readonly place: number; readonly bits: 1 | 2 },
): Pick<Layout, 'openCodes' | 'closeCodes'> => ({
  openCodes(bytes, at, { points }) {
    for (let point = 0; point < points.length; point++) {
      points[point] = bytes[at + place(point)];
      if (high === undefined) continue;
      const bit = high.bits * point;
      const bits = (bytes[at + high.place + (bit >> 3)] >> (bit & 7)) & ((1 << high.bits) - 1);
      points[point] |= bits << 8;
    }
  },
  closeCodes({ points }, bytes, at) {
    for (let point = 0; point < points.length; point++) {
      bytes[at + place(point)] = points[point];
      if (high === undefined) continue;
      const bit = high.bits * point;
      bytes[at + high.place + (bit >> 3)] |= (points[point] >> 8) << (bit & 7);
    }
  },
});

/** A byte of signs for eight weights. */
const signBytes = (place: number): Pick<Layout, 'openCodes' | 'closeCodes'> => ({
  openCodes(bytes, at, { signs }) {
    for (let eight = 0; eight < EIGHTS; eight++) signs[eight] = bytes[at + place + eight];
  },
  closeCodes({ signs }, bytes, at) {
    for (let eight = 0; eight < EIGHTS; eight++) bytes[at + place + eight] = signs[eight];
  },
});

/** 16 bits a point: nine of its index, then seven signs. */
const indicesWithSigns: Pick<Layout, 'openCodes' | 'closeCodes'> = {
  openCodes(bytes, at, { points, signs }) {
    for (let point = 0; point < points.length; point++) {
      const word = bytes[at + 2 + 2 * point] | (bytes[at + 3 + 2 * point] << 8);
      points[point] = word & 511;
      signs[point] = evenSigns(word >> 9);
    }
  },
  closeCodes({ points, signs }, bytes, at) {
    for (let point = 0; point < points.length; point++) {
      const word = points[point] | ((signs[point] & 127) << 9);
      bytes[at + 2 + 2 * point] = word;
      bytes[at + 3 + 2 * point] = word >> 8;
    }
  },
};

function all(
  ...parts: readonly Pick<Layout, 'openCodes' | 'closeCodes'>[]
): Pick<Layout, 'openCodes' | 'closeCodes'> {
  return {
    openCodes: (bytes, at, block) => {
      for (const part of parts) part.openCodes(bytes, at, block);
    },
    closeCodes: (block, bytes, at) => {
      for (const part of parts) part.closeCodes(block, bytes, at);
    },
  };
}

const formats: Partial<Record<TensorType, GridFormat>> = {
  /** d, then for 32 weights four indices and a word of signs and scale. */
  IQ2_XXS: superBlock({
    blockBytes: 66,
    dimensions: 8,
    gridSize: 256,
    groupSize: 32,
    evenSigns: true,
    ...all(
      indexBytes((point) => 2 + 8 * (point >> 2) + (point & 3)),
      signWords((group) => 6 + 8 * group),
    ),
  }),
  /** d, indices with signs, scales. */
  IQ2_XS: superBlock({
    blockBytes: 74,
    dimensions: 8,
    gridSize: 512,
    groupSize: 16,
    evenSigns: true,
    ...all(indicesWithSigns, nibbleScales(66)),
  }),
  /** d, low bits of indices, signs, high bits of indices, scales. */
  IQ2_S: superBlock({
    blockBytes: 82,
    dimensions: 8,
    gridSize: 1024,
    groupSize: 16,
    evenSigns: false,
    ...all(
      indexBytes((point) => 2 + point, { place: 66, bits: 2 }),
      signBytes(34),
      nibbleScales(74),
    ),
  }),
  /** d, indices, words of signs and scale. */
  IQ3_XXS: superBlock({
    blockBytes: 98,
    dimensions: 4,
    gridSize: 256,
    groupSize: 32,
    evenSigns: true,
    ...all(
      indexBytes((point) => 2 + point),
      signWords((group) => 66 + 4 * group),
    ),
  }),
  /** d, low bits of indices, high bits of indices, signs, scales. */
  IQ3_S: superBlock({
    blockBytes: 110,
    dimensions: 4,
    gridSize: 512,
    groupSize: 32,
    evenSigns: false,
    ...all(
      indexBytes((point) => 2 + point, { place: 66, bits: 1 }),
      signBytes(74),
      nibbleScales(106),
    ),
  }),
};

/** Null for types without a grid, and for IQ1_S and IQ1_M, whose levels are shifted besides. */
export function gridFormat(type: TensorType): GridFormat | null {
  return formats[type] ?? null;
}
