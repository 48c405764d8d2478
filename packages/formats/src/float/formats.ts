/** @file The small floats of model files, described by their bit layouts. */

export interface SmallFloat {
  readonly exponentBits: number;
  readonly mantissaBits: number;
  /** Added to an exponent of two to give its code. */
  readonly bias: number;
  /** Largest magnitude code of a finite number; what overflows gets the next code. */
  readonly largestFinite: number;
  /** The positive code of NaN. */
  readonly nan: number;
}

/** IEEE 754 binary16. */
export const float16: SmallFloat = {
  exponentBits: 5,
  mantissaBits: 10,
  bias: 15,
  largestFinite: 0x7bff,
  nan: 0x7e00,
};

/** OCP 8-bit floating point, E5M2: has infinities, like IEEE 754. */
export const float8E5m2: SmallFloat = {
  exponentBits: 5,
  mantissaBits: 2,
  bias: 15,
  largestFinite: 0x7b,
  nan: 0x7e,
};

/** OCP 8-bit floating point, E4M3 (`fn`): no infinities, one NaN a sign, largest value 448. */
export const float8E4m3: SmallFloat = {
  exponentBits: 4,
  mantissaBits: 3,
  bias: 7,
  largestFinite: 0x7e,
  nan: 0x7f,
};
