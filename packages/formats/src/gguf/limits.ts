/**
 * @file Named caps against hostile or damaged GGUF headers. Each count is also held against the bytes that are left in
 * the file before anything is allocated; the caps bound what a very large or sparse file could still ask for.
 */

/** The format's own limit on key lengths, in bytes. */
export const MAX_KEY_BYTES = 65_535;
/** Chat templates, the longest strings in use, are tens of kilobytes. */
export const MAX_STRING_BYTES = 64 * 1024 * 1024;
/** Models carry tens to hundreds of keys. */
export const MAX_KEYS = 65_536;
/** The largest mixture models with unmerged experts have tens of thousands of tensors. */
export const MAX_TENSORS = 1_048_576;
/** llama.cpp writes flat arrays only; the format allows nesting. */
export const MAX_ARRAY_DEPTH = 8;
/** Strings, booleans and arrays inside arrays, over the whole header: the largest vocabularies with merges stay below 2^20. */
export const MAX_ARRAY_ITEMS = 2 ** 25;
/** Header bytes in all: vocabularies and merges are tens of megabytes. */
export const MAX_HEADER_BYTES = 512 * 1024 * 1024;
/** Axes of a ggml tensor. */
export const MAX_AXES = 4;
/** Tensor names in the wild pass ggml's 63 bytes (diffusion models); reading them is harmless. */
export const MAX_TENSOR_NAME_BYTES = 1024;
/** llama.cpp refuses a file with longer names, so none is written. */
export const MAX_WRITTEN_TENSOR_NAME_BYTES = 63;
/** Padding is allocated, and no file in use aligns its data to more than a page. */
export const MAX_ALIGNMENT = 1_048_576;
export const DEFAULT_ALIGNMENT = 32;
export const ALIGNMENT_KEY = 'general.alignment';
