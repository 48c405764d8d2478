/** @file How a row is cut. */

/** Weights decided together, at most; a super-block of ggml's. */
export const SPAN = 256;
