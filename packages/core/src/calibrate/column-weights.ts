/**
 * @file The column weights an encoder gets for a tensor, from the importance matrix: mean squared input per channel, as
 * llama-quantize derives them. Calibration completes the matrix, so every tensor that can be quantized has an entry.
 */
import { BitsmithError, type ImportanceMatrix, importanceWeights } from '@bitsmith/formats';
import type { StoredTensor } from '../model/weight-files.js';

export interface ColumnWeights {
  /** One vector of `rowLength` a matrix; a single one where the entry is shared by all. */
  readonly vectors: readonly Float32Array[];
}

/** @throws BitsmithError `IMPORTANCE_MISSING`, `IMPORTANCE_SHAPE` when the file belongs to another model. */
export function columnWeights(matrix: ImportanceMatrix, tensor: StoredTensor): ColumnWeights {
  const entry = matrix.entries.get(tensor.name);
  if (entry === undefined) {
    throw new BitsmithError(
      'importance-file',
      'IMPORTANCE_MISSING',
      `expected importance weights for ${tensor.name}, found none`,
      {
        suggestion: 'Use an importance matrix that was collected on this model.',
      },
    );
  }
  const matrices = tensor.rows / (tensor.shape[1] ?? 1);
  const shared = entry.columns === tensor.rowLength && entry.matrices === 1;
  // The legacy file form stores all experts of a tensor in one flat row.
  if (!shared && entry.columns * entry.matrices !== tensor.rowLength * matrices) {
    throw new BitsmithError(
      'importance-file',
      'IMPORTANCE_SHAPE',
      `expected importance weights for ${tensor.name} of ${tensor.rowLength} columns x ${matrices} matrices, found ${entry.columns} x ${entry.matrices}`,
      { suggestion: 'Use an importance matrix that was collected on this model.' },
    );
  }
  const weights = importanceWeights(entry);
  const vectors = Array.from({ length: shared ? 1 : matrices }, (_, index) =>
    orUniform(weights.subarray(index * tensor.rowLength, (index + 1) * tensor.rowLength)),
  );
  return { vectors };
}

/** Encoders given nothing but zeros write garbage: an input that was always zero says only that all channels are alike. */
function orUniform(vector: Float32Array): Float32Array {
  return vector.some((weight) => weight > 0) ? vector : new Float32Array(vector.length).fill(1);
}

/** The vector for a row: rows of one matrix (expert) share it. */
export function vectorOfRow(weights: ColumnWeights, tensor: StoredTensor, row: number): Float32Array {
  return weights.vectors.length === 1
    ? weights.vectors[0]
    : weights.vectors[Math.floor(row / tensor.shape[1])];
}
