/** @file What every later stage sees of a model: named tensors with roles and blocks, whatever container they came from. */
import type { GgufMetadata, TensorType } from '@bitsmith/formats';

export type TensorRole =
  | 'embedding'
  | 'norm'
  | 'attention-q'
  | 'attention-k'
  | 'attention-v'
  | 'attention-qkv'
  | 'attention-output'
  | 'mlp-gate'
  | 'mlp-up'
  | 'mlp-down'
  | 'expert-gate'
  | 'expert-up'
  | 'expert-down'
  | 'router'
  | 'output-head'
  | 'conv'
  | 'time-embedding'
  | 'ssm'
  | 'other';

/** A stored array. `shape` is in ggml order: `shape[0]` is the row length (the input axis). */
export interface ModelTensor {
  readonly name: string;
  readonly type: TensorType;
  readonly shape: readonly number[];
  readonly elements: number;
  readonly byteLength: number;
  readonly role: TensorRole;
  /** Index of the repeated unit the tensor belongs to, parsed as a number; null outside the blocks. */
  readonly block: number | null;
}

/** A model opened for reading, in GGUF's terms. Nothing of its weights is in memory. */
export interface SourceModel {
  /** What the user named: a file, a folder, or a hub id. */
  readonly location: string;
  /** The GGUF that the engine opens: the source itself, or its conversion in the artifact store. First of its splits. */
  readonly ggufPath: string;
  /** All files of that GGUF, in split order. */
  readonly files: readonly { readonly path: string; readonly byteLength: number }[];
  /** SHA-256 over the GGUF's bytes (for splits: over the list of their hashes). */
  readonly sha256: string;
  readonly architecture: string;
  readonly name: string;
  readonly metadata: GgufMetadata;
  readonly tensors: readonly ModelTensor[];
  readonly parameterCount: number;
  /** Bytes of the GGUF files together. */
  readonly byteLength: number;
  /** The type most weights are stored in. */
  readonly dtype: TensorType;
  /** The user's own model, where this one was made from it and computes the same; absent where it is the user's. */
  readonly original?: SourceModel;
}

/** What the user gave: results name it, and sizes are held against it. */
export function originalOf(model: SourceModel): SourceModel {
  return model.original ?? model;
}
