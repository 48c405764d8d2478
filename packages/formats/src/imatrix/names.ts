/** @file Keys and tensor names of llama.cpp's GGUF importance files (`imatrix-loader.cpp`). */

export const TYPE_KEY = 'general.type';
export const TYPE_VALUE = 'imatrix';
export const DATASETS_KEY = 'imatrix.datasets';
export const CHUNK_COUNT_KEY = 'imatrix.chunk_count';
export const CHUNK_SIZE_KEY = 'imatrix.chunk_size';

export const SQUARES_SUFFIX = '.in_sum2';
export const SUMS_SUFFIX = '.in_sum';
export const COUNTS_SUFFIX = '.counts';

/** Values of all tensors of a file: 4 GiB as float32, above the largest mixture models in use. */
export const MAX_VALUES = 2 ** 30;
/** Values of one tensor; one typed array of 1 GiB. */
export const MAX_TENSOR_VALUES = 2 ** 28;
