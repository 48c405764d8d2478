/**
 * @file What squared gradients of sequences say about a tensor. With labels drawn from the model itself, the expected KL of a
 * small change dW is, per token, KL = 1/(2T) sum_ij E[G_ij^2] dW_ij^2 (the Fisher information of whole sequences of T labels, squared
 * per sequence, so that what positions do together is in it). E[G^2] is kept as rank 1, E[G_ij^2] ~ r_i c_j / sum(r), from
 * the means of its row and column sums: a row vector and a column vector a tensor.
 *
 * That takes the errors of different weights as independent. Rounding to few levels is not quite: it makes all of a matrix
 * smaller, dW = g W + R with a small g < 0 and R across W, and what all weights do together adds up. So the part along W is
 * priced by the derivative along W, <G, W>, and only R weight by weight: KL = 1/(2T) (g^2 E[<G, W>^2] + sum_ij E[G_ij^2] R_ij^2).
 */
import { standardErrorOfMean } from '../standard-error.js';
import type { SquaredGradient } from '../../transformer/squared-gradient.js';

/** The information of one tensor, over all sequences. */
export interface TensorFisher {
  /** Mean over sequences of the squared gradient's sum over each row: r_i. */
  readonly rows: Float64Array;
  /** Of each column, divided by their sum: c_j / sum(c). */
  readonly columnShares: Float32Array;
  /** r_i of every sequence by itself. */
  readonly sequenceRows: readonly Float32Array[];
  /** <G, W>^2 of every sequence; empty where growth is not told apart. */
  readonly sequenceGrowth: readonly number[];
  /** sum(r). */
  readonly total: number;
}

export function tensorFisher(
  sequences: readonly (Pick<SquaredGradient, 'rows' | 'columns'> &
    Partial<Pick<SquaredGradient, 'growth'>>)[],
): TensorFisher {
  const rows = meanOf(sequences.map((sequence) => sequence.rows));
  const columns = meanOf(sequences.map((sequence) => sequence.columns));
  // Rounding leaves a tied embedding's sums a little below zero where two gradients cancel.
  for (let i = 0; i < rows.length; i++) rows[i] = Math.max(0, rows[i]);
  const total = rows.reduce((sum, value) => sum + value, 0);
  const columnTotal = columns.reduce((sum, value) => sum + Math.max(0, value), 0);
  const columnShares = Float32Array.from(columns, (value) =>
    columnTotal === 0 ? 0 : Math.max(0, value) / columnTotal,
  );
  return {
    rows,
    columnShares,
    sequenceRows: sequences.map((sequence) => sequence.rows),
    sequenceGrowth: sequences.flatMap(({ growth }) => (growth === undefined ? [] : [growth[0] ** 2])),
    total,
  };
}

/**
 * The second moments of the output's gradients in the same form, for errors e_i = (dW H dW')_ii under the inputs' Gram matrix H: what
 * positions do together is left out, what channels do together is in.
 */
export function outputMoments(
  sequences: readonly Pick<SquaredGradient, 'columns' | 'energy'>[],
): TensorFisher {
  return tensorFisher(sequences.map(({ energy, columns }) => ({ rows: energy, columns })));
}

function meanOf(vectors: readonly Float32Array[]): Float64Array {
  const mean = new Float64Array(vectors[0].length);
  for (const vector of vectors) for (let i = 0; i < mean.length; i++) mean[i] += vector[i];
  for (let i = 0; i < mean.length; i++) mean[i] /= vectors.length;
  return mean;
}

/** A row that stands for others, and how often a sample in proportion to r hit it; r itself where all rows are there. */
export interface WeighedRow {
  readonly row: number;
  readonly hits: number;
}

/** What a scheme does to the sampled rows, summed over the columns. */
export interface RowChanges {
  /** e_i = sum_j (c_j / sum c) dW_ij^2 */
  readonly errors: ArrayLike<number>;
  /** The part along W, where it is priced by itself. */
  readonly along?: {
    /** sum_j (c_j / sum c) W_ij^2 */
    readonly sizes: ArrayLike<number>;
    /** sum_j (c_j / sum c) W_ij dW_ij */
    readonly products: ArrayLike<number>;
  };
}

/** An expected loss with its standard error over sequences. */
export interface FisherPrice {
  readonly klNats: number;
  readonly standardError: number;
}

/**
 * 1/(2T) sum_i r_i e_i, from the errors of rows sampled in proportion to r; what goes along W by its own derivative.
 * @param labels T, the labels of a sequence
 */
export function priceOfErrors(
  fisher: TensorFisher,
  sample: readonly WeighedRow[],
  changes: RowChanges,
  labels: number,
): FisherPrice {
  const hits = sample.reduce((sum, item) => sum + item.hits, 0);
  if (hits === 0) return { klNats: 0, standardError: 0 };
  const factor = fisher.total / (2 * labels * hits);
  const growth = growthOf(fisher, sample, changes);
  const errors = sample.map((_, index) => {
    const { errors: whole, along } = changes;
    if (growth === 0 || along === undefined) return whole[index];
    // |dW - g W|^2, which rounding may leave a little below zero.
    return Math.max(0, whole[index] - 2 * growth * along.products[index] + growth ** 2 * along.sizes[index]);
  });
  const together = fisher.sequenceGrowth.map((square) => (growth ** 2 * square) / (2 * labels));
  const ofSequence = fisher.sequenceRows.map((rows, sequence) => {
    let sum = 0;
    sample.forEach(({ row, hits: times }, index) => {
      if (fisher.rows[row] > 0) sum += (times * errors[index] * rows[row]) / fisher.rows[row];
    });
    return factor * sum + (together[sequence] ?? 0);
  });
  let klNats = together.reduce((sum, nats) => sum + nats, 0) / Math.max(1, together.length);
  sample.forEach(({ hits: times }, index) => (klNats += factor * times * errors[index]));
  return { klNats, standardError: standardErrorOfMean(ofSequence) ?? 0 };
}

/** g, by least squares in the Fisher's own weights; 0 where growth is not told apart. */
function growthOf(fisher: TensorFisher, sample: readonly WeighedRow[], { along }: RowChanges): number {
  if (along === undefined || fisher.sequenceGrowth.length === 0) return 0;
  let [product, size] = [0, 0];
  sample.forEach(({ hits }, index) => {
    product += hits * along.products[index];
    size += hits * along.sizes[index];
  });
  return size > 0 ? product / size : 0;
}
