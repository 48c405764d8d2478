/** @file Super-blocks of 256 whose groups have integer scales: Q2_K to Q6_K and IQ4_XS. Layouts as in ggml's `dequantize_row_*`. */
import { readHalf, writeHalf } from './half.js';
import { iq4Levels } from './legacy.js';
import { type BlockFormat, levelsOf, type OpenSpan } from './types.js';

const SIZE = 256;

/** A byte of the packed codes with one piece of a code: `bits` from bit `from` on lie at bit `to` of the byte. */
interface Piece {
  readonly byte: number;
  readonly to: number;
  readonly from: number;
  readonly bits: number;
}

/** Where every weight's code lies: two bits here, one there. */
type CodeLayout = (weight: number) => readonly Piece[];

interface Layout {
  readonly blockBytes: number;
  readonly groupSize: number;
  readonly levels: Float64Array;
  /** Place of d. */
  readonly scale: number;
  /** Place of dmin; null where there is none. */
  readonly minimum: number | null;
  readonly scaleCodes: BlockFormat['scaleCodes'];
  readonly minimumCodes: BlockFormat['minimumCodes'];
  readonly pieces: CodeLayout;
  readonly openScales: (bytes: Uint8Array, at: number, span: OpenSpan, firstGroup: number) => void;
  readonly closeScales: (span: OpenSpan, firstGroup: number, bytes: Uint8Array, at: number) => void;
}

function superBlock(layout: Layout): BlockFormat {
  const { blockBytes, groupSize, levels, scale, minimum, scaleCodes, minimumCodes } = layout;
  const groups = SIZE / groupSize;
  const pieces = Array.from({ length: SIZE }, (_, weight) => layout.pieces(weight)).flatMap((parts, weight) =>
    parts.map((piece) => ({ weight, ...piece, mask: (1 << piece.bits) - 1 })),
  );
  return {
    blockSize: SIZE,
    blockBytes,
    groupSize,
    levels,
    scaleCodes,
    minimumCodes,
    minimumSign: minimum === null ? 0 : -1,
    open(bytes, at, span, index) {
      span.scales[index] = readHalf(bytes, at + scale);
      if (minimum !== null) span.minimums[index] = readHalf(bytes, at + minimum);
      layout.openScales(bytes, at, span, index * groups);
      const first = index * SIZE;
      span.codes.fill(0, first, first + SIZE);
      for (const { weight, byte, to, from, mask } of pieces)
        span.codes[first + weight] |= ((bytes[at + byte] >> to) & mask) << from;
    },
    close(span, index, bytes, at) {
      bytes.fill(0, at, at + blockBytes);
      writeHalf(bytes, at + scale, span.scales[index]);
      if (minimum !== null) writeHalf(bytes, at + minimum, span.minimums[index]);
      layout.closeScales(span, index * groups, bytes, at);
      const first = index * SIZE;
      for (const { weight, byte, to, from, mask } of pieces)
        bytes[at + byte] |= ((span.codes[first + weight] >> from) & mask) << to;
    },
  };
}

/** Two bits of 128 weights in 32 bytes: weights 32 apart share a byte. */
const twoBits =
  (place: number): CodeLayout =>
  (weight) => [
    { byte: place + 32 * (weight >> 7) + (weight & 31), to: 2 * ((weight >> 5) & 3), from: 0, bits: 2 },
  ];

/** Four bits of 64 weights in 32 bytes: weights 32 apart share a byte. */
const fourBits =
  (place: number): CodeLayout =>
  (weight) => [
    { byte: place + 32 * (weight >> 6) + (weight & 31), to: 4 * ((weight >> 5) & 1), from: 0, bits: 4 },
  ];

/** One bit of all weights in 32 bytes: weights 32 apart share a byte. */
const oneBit =
  (place: number, from: number): CodeLayout =>
  (weight) => [{ byte: place + (weight & 31), to: weight >> 5, from, bits: 1 }];

const both =
  (...layouts: readonly CodeLayout[]): CodeLayout =>
  (weight) =>
    layouts.flatMap((layout) => layout(weight));

/** 16 scales and 16 minimums of four bits, 64 bytes of codes, d, dmin. */
export const q2K = superBlock({
  blockBytes: 84,
  groupSize: 16,
  levels: levelsOf(4, 0),
  scale: 80,
  minimum: 82,
  scaleCodes: { least: 0, most: 15 },
  minimumCodes: { least: 0, most: 15 },
  pieces: twoBits(16),
  openScales(bytes, at, { scaleCodes, minimumCodes }, first) {
    for (let j = 0; j < 16; j++) {
      scaleCodes[first + j] = bytes[at + j] & 15;
      minimumCodes[first + j] = bytes[at + j] >> 4;
    }
  },
  closeScales({ scaleCodes, minimumCodes }, first, bytes, at) {
    for (let j = 0; j < 16; j++) bytes[at + j] = scaleCodes[first + j] | (minimumCodes[first + j] << 4);
  },
});

/** 32 bytes of third bits, 64 of low bits, 16 scales of six bits (less 32) in 12 bytes, d. */
export const q3K = superBlock({
  blockBytes: 110,
  groupSize: 16,
  levels: levelsOf(8, -4),
  scale: 108,
  minimum: null,
  scaleCodes: { least: -32, most: 31 },
  minimumCodes: null,
  pieces: both(twoBits(32), oneBit(0, 2)),
  openScales(bytes, at, { scaleCodes }, first) {
    const place = at + 96;
    for (let j = 0; j < 16; j++) {
      const low = (bytes[place + (j & 7)] >> (j < 8 ? 0 : 4)) & 15;
      const high = (bytes[place + 8 + (j & 3)] >> (2 * (j >> 2))) & 3;
      scaleCodes[first + j] = (low | (high << 4)) - 32;
    }
  },
  closeScales({ scaleCodes }, first, bytes, at) {
    const place = at + 96;
    for (let j = 0; j < 16; j++) {
      const code = scaleCodes[first + j] + 32;
      bytes[place + (j & 7)] |= (code & 15) << (j < 8 ? 0 : 4);
      bytes[place + 8 + (j & 3)] |= (code >> 4) << (2 * (j >> 2));
    }
  },
});

/** Eight scales and eight minimums of six bits in 12 bytes, from byte 4 on. */
const sixBitScales: Pick<Layout, 'openScales' | 'closeScales'> = {
  openScales(bytes, at, { scaleCodes, minimumCodes }, first) {
    const byte = (j: number): number => bytes[at + 4 + j];
    for (let j = 0; j < 8; j++) {
      const near = j < 4;
      scaleCodes[first + j] = near ? byte(j) & 63 : (byte(j + 4) & 15) | ((byte(j - 4) >> 6) << 4);
      minimumCodes[first + j] = near ? byte(j + 4) & 63 : (byte(j + 4) >> 4) | ((byte(j) >> 6) << 4);
    }
  },
  closeScales({ scaleCodes, minimumCodes }, first, bytes, at) {
    for (let j = 0; j < 8; j++) {
      const [scale, minimum] = [scaleCodes[first + j], minimumCodes[first + j]];
      if (j < 4) {
        bytes[at + 4 + j] |= scale;
        bytes[at + 8 + j] |= minimum;
      } else {
        bytes[at + 8 + j] |= (scale & 15) | ((minimum & 15) << 4);
        bytes[at + j] |= (scale >> 4) << 6;
        bytes[at + 4 + j] |= (minimum >> 4) << 6;
      }
    }
  },
};

const sixBits = { least: 0, most: 63 };

/** d, dmin, scales, 128 bytes of codes. */
export const q4K = superBlock({
  blockBytes: 144,
  groupSize: 32,
  levels: levelsOf(16, 0),
  scale: 0,
  minimum: 2,
  scaleCodes: sixBits,
  minimumCodes: sixBits,
  pieces: fourBits(16),
  ...sixBitScales,
});

/** d, dmin, scales, 32 bytes of fifth bits, 128 bytes of low bits. */
export const q5K = superBlock({
  blockBytes: 176,
  groupSize: 32,
  levels: levelsOf(32, 0),
  scale: 0,
  minimum: 2,
  scaleCodes: sixBits,
  minimumCodes: sixBits,
  pieces: both(fourBits(48), oneBit(16, 4)),
  ...sixBitScales,
});

/** 128 bytes of low bits, 64 bytes of two high bits, 16 signed bytes of scales, d. */
export const q6K = superBlock({
  blockBytes: 210,
  groupSize: 16,
  levels: levelsOf(64, -32),
  scale: 208,
  minimum: null,
  scaleCodes: { least: -128, most: 127 },
  minimumCodes: null,
  pieces: (weight) => [
    { byte: 64 * (weight >> 7) + (weight & 63), to: 4 * ((weight >> 6) & 1), from: 0, bits: 4 },
    { byte: 128 + 32 * (weight >> 7) + (weight & 31), to: 2 * ((weight >> 5) & 3), from: 4, bits: 2 },
  ],
  openScales(bytes, at, { scaleCodes }, first) {
    for (let j = 0; j < 16; j++) scaleCodes[first + j] = (bytes[at + 192 + j] << 24) >> 24;
  },
  closeScales({ scaleCodes }, first, bytes, at) {
    for (let j = 0; j < 16; j++) bytes[at + 192 + j] = scaleCodes[first + j] & 255;
  },
});

/** d, two high bits of eight scales (less 32), four low bits of them, 128 bytes of codes: weights 16 apart share a byte. */
export const iq4Xs = superBlock({
  blockBytes: 136,
  groupSize: 32,
  levels: iq4Levels,
  scale: 0,
  minimum: null,
  scaleCodes: { least: -32, most: 31 },
  minimumCodes: null,
  pieces: (weight) => [
    { byte: 8 + 16 * (weight >> 5) + (weight & 15), to: 4 * ((weight >> 4) & 1), from: 0, bits: 4 },
  ],
  openScales(bytes, at, { scaleCodes }, first) {
    for (let j = 0; j < 8; j++) {
      const low = (bytes[at + 4 + (j >> 1)] >> (4 * (j & 1))) & 15;
      const high = (bytes[at + 2 + (j >> 2)] >> (2 * (j & 3))) & 3;
      scaleCodes[first + j] = (low | (high << 4)) - 32;
    }
  },
  closeScales({ scaleCodes }, first, bytes, at) {
    for (let j = 0; j < 8; j++) {
      const code = scaleCodes[first + j] + 32;
      bytes[at + 4 + (j >> 1)] |= (code & 15) << (4 * (j & 1));
      bytes[at + 2 + (j >> 2)] |= (code >> 4) << (2 * (j & 3));
    }
  },
});

/** 64 bytes of two bits a weight, weights 32 apart in a byte, and d: -1, 0 and 1 times it. */
export const tq20 = superBlock({
  blockBytes: 66,
  groupSize: SIZE,
  levels: levelsOf(3, -1),
  scale: 64,
  minimum: null,
  scaleCodes: null,
  minimumCodes: null,
  pieces: twoBits(0),
  openScales: () => undefined,
  closeScales: () => undefined,
});
