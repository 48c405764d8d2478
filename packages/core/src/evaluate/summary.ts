/** @file Per-position scores to the numbers of an evaluation, by the formulas of `llama-perplexity --kl-divergence`. */
import type { Evaluation, Measured } from './types.js';

/** Scores of two models at every position, in text order. Arrays have one entry a position. */
export interface PositionScores {
  /** -ln p(label) of the source, in nats. */
  readonly sourceNll: Float64Array;
  /** -ln q(label) of the output, in nats. */
  readonly outputNll: Float64Array;
  /** KL(p || q) in nats. */
  readonly klNats: Float64Array;
  /** q(label) - p(label). */
  readonly deltaP: Float64Array;
  /** 1 where both put the same token first. */
  readonly sameTop: Uint8Array;
}

/** Mean and standard error of the mean; the error of fewer than eleven values is reported as 0, as llama.cpp does. */
export function meanWithError(values: ArrayLike<number>): Measured {
  const count = values.length;
  if (count === 0) return { value: Number.NaN, standardError: Number.NaN };
  let sum = 0;
  for (let i = 0; i < count; i++) sum += values[i];
  const mean = sum / count;
  let squares = 0;
  for (let i = 0; i < count; i++) squares += (values[i] - mean) ** 2;
  return { value: mean, standardError: count > 10 ? Math.sqrt(squares / count / (count - 1)) : 0 };
}

/** The value below which `fraction` of the sorted values lie, interpolated linearly. */
export function quantile(sorted: ArrayLike<number>, fraction: number): number {
  const position = fraction * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  const share = position - below;
  return (1 - share) * sorted[below] + share * sorted[above];
}

type Summary = Pick<
  Evaluation,
  'positions' | 'source' | 'output' | 'logPerplexityRatio' | 'klNats' | 'sameTopToken' | 'rmsDeltaP'
>;

/** Everything an evaluation says that follows from the scores alone. */
export function summarize(scores: PositionScores): Summary {
  const positions = scores.klNats.length;
  const sorted = scores.klNats.slice().sort();
  const squares = scores.deltaP.map((value) => value * value);
  const meanSquare = meanWithError(squares);
  const rms = Math.sqrt(meanSquare.value);
  const same = meanWithError(scores.sameTop).value;
  return {
    positions,
    source: { perplexity: perplexity(scores.sourceNll) },
    output: { perplexity: perplexity(scores.outputNll) },
    logPerplexityRatio: meanWithError(scores.outputNll.map((value, i) => value - scores.sourceNll[i])),
    klNats: {
      mean: meanWithError(scores.klNats),
      median: quantile(sorted, 0.5),
      p99: quantile(sorted, 0.99),
      p999: quantile(sorted, 0.999),
      max: sorted[positions - 1],
    },
    sameTopToken: {
      value: same,
      standardError: positions > 1 ? Math.sqrt((same * (1 - same)) / (positions - 1)) : 0,
    },
    rmsDeltaP: { value: rms, standardError: rms > 0 ? (0.5 / rms) * meanSquare.standardError : 0 },
  };
}

function perplexity(nll: Float64Array): Measured {
  const mean = meanWithError(nll);
  const value = Math.exp(mean.value);
  return { value, standardError: value * mean.standardError };
}
