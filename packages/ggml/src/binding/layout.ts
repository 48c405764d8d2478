/**
 * @file Sizes and offsets of the native structs, in bytes. They were printed by a C++ program compiled against the headers
 * of the engine's own release; all members have fixed widths, so one table serves every 64-bit platform. The start-up
 * probe checks them against the loaded libraries before anything else is trusted.
 */

/** `sizeof` of the structs that cross the border by value or as arrays. */
export const structSizes = {
  llama_model_params: 80,
  llama_context_params: 160,
  llama_model_quantize_params: 64,
  llama_batch: 56,
  llama_model_kv_override: 264,
  llama_model_tensor_override: 16,
  llama_model_imatrix_data: 24,
  ggml_init_params: 24,
} as const;

/** Members of `struct ggml_tensor`, which is read and patched in place, one field at a time. */
export const tensorLayout = {
  size: 336,
  type: 0,
  buffer: 8,
  /** int64[4] */
  ne: 16,
  /** size_t[4] */
  nb: 48,
  op: 80,
  opParams: 84,
  flags: 148,
  /** pointer[10] */
  src: 152,
  sources: 10,
  viewSrc: 232,
  viewOffset: 240,
  data: 248,
  name: 256,
  nameLength: 64,
} as const;

/** Members of `struct ggml_type_traits` that are read. */
export const typeTraitsLayout = {
  size: 56,
  blockSize: 8,
  typeSize: 24,
  toFloat: 40,
} as const;

/** Numbers of `enum ggml_type`; ids that are missing were removed from the format. */
export const ggmlTypes = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q5_0: 6,
  Q5_1: 7,
  Q8_0: 8,
  Q8_1: 9,
  Q2_K: 10,
  Q3_K: 11,
  Q4_K: 12,
  Q5_K: 13,
  Q6_K: 14,
  Q8_K: 15,
  IQ2_XXS: 16,
  IQ2_XS: 17,
  IQ3_XXS: 18,
  IQ1_S: 19,
  IQ4_NL: 20,
  IQ3_S: 21,
  IQ2_S: 22,
  IQ4_XS: 23,
  I8: 24,
  I16: 25,
  I32: 26,
  I64: 27,
  F64: 28,
  IQ1_M: 29,
  BF16: 30,
  TQ1_0: 34,
  TQ2_0: 35,
  MXFP4: 39,
  NVFP4: 40,
  Q1_0: 41,
  Q2_0: 42,
} as const;

/** `GGML_TYPE_COUNT`: in parameters it means "not set". */
export const ggmlTypeCount = 43;

/** Numbers of `enum ggml_op` that the start-up checks know. */
export const ggmlOps = { NONE: 0, MUL_MAT: 29, MUL_MAT_ID: 30, GET_ROWS: 40 } as const;

/** `sizeof(struct ggml_object)`: what a context stores in front of each tensor. */
export const objectSize = 32;

/** Numbers of `enum llama_ftype`, under the names that llama.cpp's own quantizer uses. */
export const llamaFileTypes = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q8_0: 7,
  Q5_0: 8,
  Q5_1: 9,
  Q2_K: 10,
  Q3_K_S: 11,
  Q3_K_M: 12,
  Q3_K_L: 13,
  Q4_K_S: 14,
  Q4_K_M: 15,
  Q5_K_S: 16,
  Q5_K_M: 17,
  Q6_K: 18,
  IQ2_XXS: 19,
  IQ2_XS: 20,
  Q2_K_S: 21,
  IQ3_XS: 22,
  IQ3_XXS: 23,
  IQ1_S: 24,
  IQ4_NL: 25,
  IQ3_S: 26,
  IQ3_M: 27,
  IQ2_S: 28,
  IQ2_M: 29,
  IQ4_XS: 30,
  IQ1_M: 31,
  BF16: 32,
  TQ1_0: 36,
  TQ2_0: 37,
  MXFP4_MOE: 38,
  NVFP4: 39,
  Q1_0: 40,
  Q2_0: 41,
} as const;

/** Numbers of `enum llama_load_mode`. */
export const loadModes = { none: 0, memoryMap: 1 } as const;

/** Numbers of `enum ggml_backend_dev_type`: the processor, GPUs with memory of their own, and those that share its memory. */
export const deviceTypes = { cpu: 0, gpu: 1, integratedGpu: 2 } as const;
