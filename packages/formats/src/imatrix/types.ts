/** @file The importance matrix: per weight matrix, the sums of squared inputs that llama.cpp's calibration collects. */
import type { GgufMetadata } from '../gguf/types.js';

/** What one weight tensor has seen. */
export interface ImportanceEntry {
  /** Length of one row: input channels (for a legacy file, of all matrices together). */
  readonly columns: number;
  /** Matrices with a count of their own: experts of a merged expert tensor, 1 otherwise. */
  readonly matrices: number;
  /** Sum over tokens of the squared input, `matrices` rows of `columns`. */
  readonly inSum2: Float32Array;
  /** Tokens that each matrix has seen, one per matrix. */
  readonly counts: Float32Array;
  /** Sum over tokens of the input itself, in the shape of `inSum2`, where a file has it. */
  readonly inSum?: Float32Array;
}

/** A tensor of the file that belongs to no entry. */
export interface ImportanceExtra {
  /** In ggml order, row length first. */
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

export interface ImportanceMatrix {
  /** Names of the texts that were used. */
  readonly datasets: readonly string[];
  readonly chunkCount: number;
  /** Tokens of a chunk; 0 where the file does not say (legacy form). */
  readonly chunkSize: number;
  /** By weight tensor name. */
  readonly entries: ReadonlyMap<string, ImportanceEntry>;
  /** Further tensors, by name; llama.cpp ignores them. */
  readonly extra: ReadonlyMap<string, ImportanceExtra>;
  /** Further keys of the file, in its order; llama.cpp ignores them. */
  readonly metadata?: GgufMetadata;
}
