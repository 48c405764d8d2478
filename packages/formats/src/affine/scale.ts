/**
 * @file Scales as they are stored. A range is divided by what the file will say, not by what was meant, so numbers are
 * rounded to the stored type before anything is coded with them; arithmetic does it without going through bits.
 */
import type { ScaleType } from './types.js';

/** Added and taken away again, leaves whole numbers, ties to even, of anything below 2^51. */
export const ROUND_TO_INTEGER = 1.5 * 2 ** 52;

interface ScaleFormat {
  /** Nearest stored number of a positive one, ties to even; infinite where it is too large. */
  readonly nearest: (value: number) => number;
  /** Smallest positive stored number. */
  readonly smallest: number;
  readonly smallestNormal: number;
  /** More than half, and less than one and a half, steps of any normal number, relative to it. */
  readonly nudge: number;
}

const SPLIT_F16 = 2 ** 42 + 1;
const LARGEST_F16 = 65_504;
const SMALLEST_NORMAL_F16 = 2 ** -14;
/** Puts the last bit of a double where the last bit of a subnormal half float stands. */
const ROUND_SUBNORMAL_F16 = ROUND_TO_INTEGER * 2 ** -24;

function nearestF16(value: number): number {
  if (value < SMALLEST_NORMAL_F16) return value + ROUND_SUBNORMAL_F16 - ROUND_SUBNORMAL_F16;
  // Veltkamp's splitting: the upper 11 of 53 bits.
  const product = value * SPLIT_F16;
  const upper = product - (product - value);
  return upper > LARGEST_F16 ? Infinity : upper;
}

const formats: Readonly<Record<ScaleType, ScaleFormat>> = {
  F16: {
    nearest: nearestF16,
    smallest: 2 ** -24,
    smallestNormal: SMALLEST_NORMAL_F16,
    nudge: 0.7 * 2 ** -10,
  },
  F32: { nearest: Math.fround, smallest: 2 ** -149, smallestNormal: 2 ** -126, nudge: 0.7 * 2 ** -23 },
};

/** The nearest stored scale, never 0. */
export function nearestScale(value: number, type: ScaleType): number {
  const { nearest, smallest } = formats[type];
  return Math.max(smallest, nearest(value));
}

/** The smallest stored scale that is not below `value`: a range divided by it is covered to its end. */
export function coveringScale(value: number, type: ScaleType): number {
  const { nearest, smallest, smallestNormal, nudge } = formats[type];
  const rounded = nearest(value);
  if (rounded >= value) return rounded;
  return rounded < smallestNormal ? rounded + smallest : nearest(rounded * (1 + nudge));
}
