/** @file Where the kernels of the low i-quants keep what they work on, in bytes of their memory. */
import { BLOCK_CODES, SCRATCH_END, STEPS as FIRST } from './layout.js';

/** The numerators of the inverse scales that are tried. */
export const STEPS = FIRST;
/** Codes of a sub-block's first fit, one byte a weight. */
export const FIT_CODES = BLOCK_CODES;

/** A sub-block's weights, most of them without their sign. */
export const VALUES = SCRATCH_END;
/** How much each one's error matters. */
export const WEIGHTS = VALUES + 128;
/** The square roots of that. */
export const ROOTS = WEIGHTS + 128;
/** Values times weights. */
export const PRODUCTS = ROOTS + 128;
/** Codes of the points that four steps of the search lead to, four a group of weights: as rounded, and on the grid. */
export const ROUNDED = PRODUCTS + 128;
export const FOUND = ROUNDED + 128;
/** The same of the best step, one a group. */
export const BEST_ROUNDED = FOUND + 128;
export const BEST_FOUND = BEST_ROUNDED + 32;
/** Sums over a sub-block for each of four steps. */
export const SUM_PRODUCTS = BEST_FOUND + 32;
export const SUM_SQUARES = SUM_PRODUCTS + 16;
/** Signs of each eight weights. */
export const SIGNS = SUM_SQUARES + 16;
/** Scales of a super-block's sub-blocks, 16 at most. */
export const SCALES = SIGNS + 16;
/** The types with levels -1, 0 and 1: which way the levels of a super-block's sub-blocks are shifted. */
export const SHIFTS = SCALES + 64;
/** By how much those of each group are. */
export const DELTAS = SHIFTS + 64;
/** Codes of the points of a super-block's groups. */
export const POINTS = DELTAS + 16;
/** A sub-block's weights in order: which they are, and they themselves. */
export const ORDER = POINTS + 128;
export const ORDERED = ORDER + 128;
/** Sums over the first of them, one more than there are; then what a vector reads beyond. */
export const VALUE_SUMS = ORDERED + 128;
export const WEIGHT_SUMS = VALUE_SUMS + 160;
/** What a weight in order adds to four sums at each of three levels. */
export const PRODUCT_TERMS = WEIGHT_SUMS + 160;
export const SQUARE_TERMS = PRODUCT_TERMS + 1024;
