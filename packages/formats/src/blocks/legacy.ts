/** @file Blocks of 32 with a half float of their own: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and IQ4_NL. Weight l and weight l + 16 share a byte. */
import { readHalf, writeHalf } from './half.js';
import { type BlockFormat, levelsOf, type OpenSpan } from './types.js';

const SIZE = 32;
const HALF = SIZE / 2;

/** ggml's `kvalues_iq4nl`. */
export const iq4Levels = Float64Array.of(
  -127,
  -104,
  -83,
  -65,
  -49,
  -35,
  -22,
  -10,
  1,
  13,
  25,
  38,
  53,
  69,
  89,
  113,
);

interface Layout {
  readonly minimum: boolean;
  readonly fifthBits: boolean;
  readonly levels: Float64Array;
}

/** d, m where there is one, four bytes of fifth bits where there are such, 16 bytes of low bits. */
function nibbleFormat({ minimum, fifthBits, levels }: Layout): BlockFormat {
  const fifth = minimum ? 4 : 2;
  const codesAt = fifth + (fifthBits ? 4 : 0);
  return {
    blockSize: SIZE,
    blockBytes: codesAt + HALF,
    groupSize: SIZE,
    levels,
    scaleCodes: null,
    minimumCodes: null,
    minimumSign: minimum ? 1 : 0,
    open(bytes, at, span, index) {
      openHalves(bytes, at, span, index, minimum);
      for (let l = 0; l < SIZE; l++) {
        const byte = bytes[at + codesAt + (l % HALF)];
        const high = fifthBits ? ((bytes[at + fifth + (l >> 3)] >> (l & 7)) & 1) << 4 : 0;
        span.codes[index * SIZE + l] = (l < HALF ? byte & 15 : byte >> 4) | high;
      }
    },
    close(span, index, bytes, at) {
      closeHalves(span, index, bytes, at, minimum);
      bytes.fill(0, at + fifth, at + codesAt + HALF);
      for (let l = 0; l < SIZE; l++) {
        const code = span.codes[index * SIZE + l];
        bytes[at + codesAt + (l % HALF)] |= (code & 15) << (l < HALF ? 0 : 4);
        if (fifthBits) bytes[at + fifth + (l >> 3)] |= (code >> 4) << (l & 7);
      }
    },
  };
}

function openHalves(
  bytes: Uint8Array,
  at: number,
  { scales, minimums }: OpenSpan,
  index: number,
  minimum: boolean,
): void {
  scales[index] = readHalf(bytes, at);
  if (minimum) minimums[index] = readHalf(bytes, at + 2);
}

function closeHalves(
  { scales, minimums }: OpenSpan,
  index: number,
  bytes: Uint8Array,
  at: number,
  minimum: boolean,
): void {
  writeHalf(bytes, at, scales[index]);
  if (minimum) writeHalf(bytes, at + 2, minimums[index]);
}

export const q40 = nibbleFormat({ minimum: false, fifthBits: false, levels: levelsOf(16, -8) });
export const q41 = nibbleFormat({ minimum: true, fifthBits: false, levels: levelsOf(16, 0) });
export const q50 = nibbleFormat({ minimum: false, fifthBits: true, levels: levelsOf(32, -16) });
export const q51 = nibbleFormat({ minimum: true, fifthBits: true, levels: levelsOf(32, 0) });
export const iq4Nl = nibbleFormat({ minimum: false, fifthBits: false, levels: iq4Levels });

/** d, 32 signed bytes; codes here are those plus 128. */
export const q80: BlockFormat = {
  blockSize: SIZE,
  blockBytes: 2 + SIZE,
  groupSize: SIZE,
  levels: levelsOf(256, -128),
  scaleCodes: null,
  minimumCodes: null,
  minimumSign: 0,
  open(bytes, at, span, index) {
    openHalves(bytes, at, span, index, false);
    for (let l = 0; l < SIZE; l++) span.codes[index * SIZE + l] = bytes[at + 2 + l] ^ 128;
  },
  close(span, index, bytes, at) {
    closeHalves(span, index, bytes, at, false);
    for (let l = 0; l < SIZE; l++) bytes[at + 2 + l] = span.codes[index * SIZE + l] ^ 128;
  },
};
