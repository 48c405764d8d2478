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
  const matrices = tensor.rows / tensor.shape[1];
  if (entry.columns !== tensor.rowLength || (entry.matrices !== 1 && entry.matrices !== matrices)) {
    throw new BitsmithError(
      'importance-file',
      'IMPORTANCE_SHAPE',
      `expected importance weights for ${tensor.name} of ${tensor.rowLength} columns x ${matrices} matrices, found ${entry.columns} x ${entry.matrices}`,
      { suggestion: 'Use an importance matrix that was collected on this model.' },
    );
  }
  const weights = importanceWeights(entry);
  const vectors = Array.from({ length: entry.matrices }, (_, index) =>
    weights.subarray(index * entry.columns, (index + 1) * entry.columns),
  );
  return { vectors };
}

/** The vector for a row: rows of one matrix (expert) share it. */
export function vectorOfRow(weights: ColumnWeights, tensor: StoredTensor, row: number): Float32Array {
  return weights.vectors.length === 1
    ? weights.vectors[0]
    : weights.vectors[Math.floor(row / tensor.shape[1])];
}
