/** @file The by-value structs of llama.cpp as koffi types, member by member, and their shapes in TypeScript. */
import koffi from 'koffi';
import type { structSizes } from './layout.js';

/** A native address; null is the null pointer. */
export type Address = bigint;
export type NullableAddress = Address | null;

export interface LlamaModelParams {
  devices: NullableAddress;
  tensor_buft_overrides: NullableAddress;
  n_gpu_layers: number;
  split_mode: number;
  load_mode: number;
  lazy_mode: number;
  main_gpu: number;
  tensor_split: NullableAddress;
  progress_callback: NullableAddress;
  progress_callback_user_data: NullableAddress;
  kv_overrides: NullableAddress;
  vocab_only: boolean;
  check_tensors: boolean;
  use_extra_bufts: boolean;
  no_host: boolean;
  no_alloc: boolean;
  load_mtp: boolean;
}

export const llamaModelParams = koffi.struct({
  devices: 'void *',
  tensor_buft_overrides: 'void *',
  n_gpu_layers: 'int32_t',
  split_mode: 'int32_t',
  load_mode: 'int32_t',
  lazy_mode: 'int32_t',
  main_gpu: 'int32_t',
  tensor_split: 'void *',
  progress_callback: 'void *',
  progress_callback_user_data: 'void *',
  kv_overrides: 'void *',
  vocab_only: 'bool',
  check_tensors: 'bool',
  use_extra_bufts: 'bool',
  no_host: 'bool',
  no_alloc: 'bool',
  load_mtp: 'bool',
});

export interface LlamaContextParams {
  n_ctx: number;
  n_batch: number;
  n_ubatch: number;
  n_seq_max: number;
  n_rs_seq: number;
  n_outputs_max: number;
  n_outputs_max_per_seq: number;
  n_threads: number;
  n_threads_batch: number;
  ctx_type: number;
  rope_scaling_type: number;
  pooling_type: number;
  attention_type: number;
  flash_attn_type: number;
  rope_freq_base: number;
  rope_freq_scale: number;
  yarn_ext_factor: number;
  yarn_attn_factor: number;
  yarn_beta_fast: number;
  yarn_beta_slow: number;
  yarn_orig_ctx: number;
  defrag_thold: number;
  cb_eval: NullableAddress;
  cb_eval_user_data: NullableAddress;
  type_k: number;
  type_v: number;
  abort_callback: NullableAddress;
  abort_callback_data: NullableAddress;
  embeddings: boolean;
  offload_kqv: boolean;
  no_perf: boolean;
  op_offload: boolean;
  swa_full: boolean;
  kv_unified: boolean;
  samplers: NullableAddress;
  n_samplers: number | bigint;
  ctx_other: NullableAddress;
}

export const llamaContextParams = koffi.struct({
  n_ctx: 'uint32_t',
  n_batch: 'uint32_t',
  n_ubatch: 'uint32_t',
  n_seq_max: 'uint32_t',
  n_rs_seq: 'uint32_t',
  n_outputs_max: 'uint32_t',
  n_outputs_max_per_seq: 'uint32_t',
  n_threads: 'int32_t',
  n_threads_batch: 'int32_t',
  ctx_type: 'int32_t',
  rope_scaling_type: 'int32_t',
  pooling_type: 'int32_t',
  attention_type: 'int32_t',
  flash_attn_type: 'int32_t',
  rope_freq_base: 'float',
  rope_freq_scale: 'float',
  yarn_ext_factor: 'float',
  yarn_attn_factor: 'float',
  yarn_beta_fast: 'float',
  yarn_beta_slow: 'float',
  yarn_orig_ctx: 'uint32_t',
  defrag_thold: 'float',
  cb_eval: 'void *',
  cb_eval_user_data: 'void *',
  type_k: 'int32_t',
  type_v: 'int32_t',
  abort_callback: 'void *',
  abort_callback_data: 'void *',
  embeddings: 'bool',
  offload_kqv: 'bool',
  no_perf: 'bool',
  op_offload: 'bool',
  swa_full: 'bool',
  kv_unified: 'bool',
  samplers: 'void *',
  n_samplers: 'size_t',
  ctx_other: 'void *',
});

export interface LlamaQuantizeParams {
  nthread: number;
  ftype: number;
  output_tensor_type: number;
  token_embedding_type: number;
  allow_requantize: boolean;
  quantize_output_tensor: boolean;
  only_copy: boolean;
  pure: boolean;
  keep_split: boolean;
  dry_run: boolean;
  imatrix: NullableAddress;
  kv_overrides: NullableAddress;
  tt_overrides: NullableAddress;
  prune_layers: NullableAddress;
  max_buf_size: number | bigint;
}

export const llamaQuantizeParams = koffi.struct({
  nthread: 'int32_t',
  ftype: 'int32_t',
  output_tensor_type: 'int32_t',
  token_embedding_type: 'int32_t',
  allow_requantize: 'bool',
  quantize_output_tensor: 'bool',
  only_copy: 'bool',
  pure: 'bool',
  keep_split: 'bool',
  dry_run: 'bool',
  imatrix: 'void *',
  kv_overrides: 'void *',
  tt_overrides: 'void *',
  prune_layers: 'void *',
  max_buf_size: 'size_t',
});

export interface LlamaBatch {
  n_tokens: number;
  token: NullableAddress;
  embd: NullableAddress;
  pos: NullableAddress;
  n_seq_id: NullableAddress;
  seq_id: NullableAddress;
  logits: NullableAddress;
}

export const llamaBatch = koffi.struct({
  n_tokens: 'int32_t',
  token: 'void *',
  embd: 'void *',
  pos: 'void *',
  n_seq_id: 'void *',
  seq_id: 'void *',
  logits: 'void *',
});

export interface GgmlInitParams {
  mem_size: number;
  mem_buffer: NullableAddress;
  no_alloc: boolean;
}

export const ggmlInitParams = koffi.struct({
  mem_size: 'size_t',
  mem_buffer: 'void *',
  no_alloc: 'bool',
});

/** `sizeof` of each by-value struct as koffi lays it out, to be held against `structSizes`. */
export function measuredStructSizes(): Readonly<Partial<Record<keyof typeof structSizes, number>>> {
  return {
    llama_model_params: koffi.sizeof(llamaModelParams),
    llama_context_params: koffi.sizeof(llamaContextParams),
    llama_model_quantize_params: koffi.sizeof(llamaQuantizeParams),
    llama_batch: koffi.sizeof(llamaBatch),
    ggml_init_params: koffi.sizeof(ggmlInitParams),
  };
}
