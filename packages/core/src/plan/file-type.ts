/**
 * @file `general.file_type`: one number (`llama_ftype`, `include/llama.h` of llama.cpp v0.4.0) that names a whole file, for
 * people and model lists; nothing decodes by it. A mixed file is named after the type that stores most of its weights, with
 * the names that llama.cpp's own loader gives when the key is missing.
 */
import type { TensorType } from '@bitsmith/formats';

const fileTypes: Readonly<Partial<Record<TensorType, number>>> = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q8_0: 7,
  Q5_0: 8,
  Q5_1: 9,
  Q2_K: 10,
  Q3_K: 12,
  Q4_K: 15,
  Q5_K: 17,
  Q6_K: 18,
  IQ2_XXS: 19,
  IQ2_XS: 20,
  IQ3_XXS: 23,
  IQ1_S: 24,
  IQ4_NL: 25,
  IQ3_S: 26,
  IQ2_S: 28,
  IQ4_XS: 30,
  IQ1_M: 31,
  BF16: 32,
  TQ1_0: 36,
  TQ2_0: 37,
  MXFP4: 38,
  NVFP4: 39,
  Q1_0: 40,
  Q2_0: 41,
};

/** The `llama_ftype` of a file with these tensors; types without a name of their own are not counted. */
export function fileTypeOf(
  tensors: readonly { readonly type: TensorType; readonly elements: number }[],
): number {
  const weights = new Map<number, number>();
  for (const { type, elements } of tensors) {
    const fileType = fileTypes[type];
    if (fileType !== undefined) weights.set(fileType, (weights.get(fileType) ?? 0) + elements);
  }
  let main = 0;
  for (const [fileType, count] of weights) if (count > (weights.get(main) ?? 0)) main = fileType;
  return main;
}
