/**
 * @file How far each tensor's price is off, learnt from all plans that were measured. A plan's loss is the sum of its tensors'
 * (tensors hardly interact), so every measurement says a little about each price, and hundreds of noisy ones together say more
 * than any one of them: Bayesian linear regression on factors of the genes' prices, with prior 1 +- the usual error. Plans drawn
 * from what is left open (Thompson sampling) are worth measuring; draws are made by Matheron's rule.
 */
import { drawNormal } from './draw.js';

/** One measured plan against the reference. */
export interface PlanEvidence {
  /** By gene: what its price changes by, in nats. */
  readonly moved: Float64Array;
  /** The measured difference, in nats. */
  readonly nats: number;
  readonly standardError: number;
}

/** Losses are no exact sums: a share of what the whole price changes by counts as noise. */
const CURVATURE = 0.1;
const LEAST_FACTOR = 0.05;

export class PriceErrors {
  /** By gene: what its price is expected to be multiplied by. */
  readonly factors: Float64Array;
  private readonly evidence: readonly PlanEvidence[];
  private readonly noise: Float64Array;
  private readonly lower: Float64Array[];
  private readonly priceError: number;
  private readonly genes: number;

  /** @param priceError how far prices are off before anything is measured, as a share */
  constructor(evidence: readonly PlanEvidence[], genes: number, priceError: number) {
    this.evidence = evidence.filter(({ standardError }) => standardError > 0 && standardError < Infinity);
    this.genes = genes;
    this.priceError = priceError;
    this.noise = Float64Array.from(this.evidence, noiseOf);
    this.lower = cholesky(
      this.evidence.map(({ moved }, row) =>
        this.evidence
          .slice(0, row + 1)
          .map(
            (other, column) =>
              priceError ** 2 * dot(moved, other.moved) + (row === column ? this.noise[row] ** 2 : 0),
          ),
      ),
    );
    this.factors = this.corrected(new Float64Array(genes), new Float64Array(this.evidence.length));
  }

  /** What a plan loses more than the reference by these factors. */
  expected(moved: Float64Array): number {
    return dot(moved, this.factors);
  }

  /** Factors as they may be, for all that is known. */
  draw(random: () => number): Float64Array {
    const prior = Float64Array.from({ length: this.genes }, () => this.priceError * drawNormal(random));
    const noise = this.noise.map((sigma) => sigma * drawNormal(random));
    return this.corrected(prior, noise).map((factor) => Math.max(LEAST_FACTOR, factor));
  }

  /** A draw of the prior, moved to where the evidence, with a draw of its noise, wants it. */
  private corrected(prior: Float64Array, noise: Float64Array): Float64Array {
    const residual = Float64Array.from(
      this.evidence,
      ({ moved, nats }, row) => nats - sumOf(moved) - dot(moved, prior) + noise[row],
    );
    const weights = solveCholesky(this.lower, residual);
    const factors = prior.map((error) => 1 + error);
    this.evidence.forEach(({ moved }, row) => {
      const weight = this.priceError ** 2 * weights[row];
      for (let gene = 0; gene < factors.length; gene++) factors[gene] += weight * moved[gene];
    });
    return factors;
  }
}

/** How far the measured difference may be from the sum of what the tensors lose, in nats. */
export function noiseOf({ moved, standardError }: PlanEvidence): number {
  return Math.hypot(standardError, CURVATURE * sumOf(moved));
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function sumOf(values: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum;
}

/** Rows of the lower triangle L with L L' = the matrix, which is given by its own lower triangle and positive definite. */
function cholesky(matrix: readonly (readonly number[])[]): Float64Array[] {
  const lower: Float64Array[] = [];
  for (const [row, values] of matrix.entries()) {
    const made = Float64Array.from(values);
    for (let column = 0; column <= row; column++) {
      const other = column === row ? made : lower[column];
      let sum = made[column];
      for (let k = 0; k < column; k++) sum -= made[k] * other[k];
      made[column] = column === row ? Math.sqrt(sum) : sum / other[column];
    }
    lower.push(made);
  }
  return lower;
}

function solveCholesky(lower: readonly Float64Array[], right: Float64Array): Float64Array {
  const solution = right.slice();
  for (let row = 0; row < lower.length; row++) {
    for (let k = 0; k < row; k++) solution[row] -= lower[row][k] * solution[k];
    solution[row] /= lower[row][row];
  }
  for (let row = lower.length - 1; row >= 0; row--) {
    for (let k = row + 1; k < lower.length; k++) solution[row] -= lower[k][row] * solution[k];
    solution[row] /= lower[row][row];
  }
  return solution;
}
