/** @file Where the kernels keep what they work on, in bytes of their memory: scratch first, then what the caller hands over. */

/** Rounding constants of each search step. */
export const STEPS = 0;
/** The same of a second search. */
export const SCALE_STEPS = STEPS + 160;
/** Four sub-blocks side by side: weight i of each stands in vector i. */
export const X = 256;
/** The same of how much each weight's error matters. */
export const W = X + 512;
/** The same of the codes at hand, as floats. */
export const CODES = W + 512;
/** Results of the search, one float a sub-block, 16 at most. */
export const SCALES = CODES + 512;
export const MINIMA = SCALES + 64;
export const IMPORTANCE_SUMS = MINIMA + 64;
export const BEST_INVERSE = IMPORTANCE_SUMS + 64;
/** Where sub-blocks have no minimum: the best offset of the codes. */
export const BEST_MINIMUM = BEST_INVERSE + 64;
/** Codes of the scales and the minima, one byte a sub-block. */
export const SCALE_CODES = BEST_MINIMUM + 64;
export const MINIMUM_CODES = SCALE_CODES + 16;
/** Codes of a super-block, one byte a weight. */
export const BLOCK_CODES = MINIMUM_CODES + 16;
/** Bits of the largest magnitudes that a decoder met. */
export const MAGNITUDES = BLOCK_CODES + 256;

/** Where scratch of particular kernels may begin. */
export const SCRATCH_END = MAGNITUDES + 16;

export const PAGE_BYTES = 65_536;
/** Where tables of kernels may stand: they stay there, whatever is encoded in between. */
export const TABLES = 8192;
export const TABLE_PAGES = 130;

/** Where the caller's data may begin. */
export const FREE = TABLES + TABLE_PAGES * PAGE_BYTES;

/** Weights of a super-block (`QK_K`). */
export const SUPER_BLOCK = 256;
