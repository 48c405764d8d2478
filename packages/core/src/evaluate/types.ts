/** @file What an evaluation says of a written file, and with what certainty. Definitions follow `llama-perplexity --kl-divergence`. */

/** How a number came to be known. */
export type Evidence = 'measured' | 'estimated' | 'assumed';

/** A mean over token positions with its standard error. */
export interface Measured {
  readonly value: number;
  readonly standardError: number;
}

/** Two models on the same tokens: the source (p) and the written file (q). */
export interface Evaluation {
  readonly evidence: 'measured';
  readonly text: {
    readonly name: string;
    readonly sha256: string;
    readonly contextTokens: number;
    readonly chunks: number;
  };
  /** Scored positions: the second half of every chunk, the last token excepted. */
  readonly positions: number;
  readonly source: { readonly perplexity: Measured };
  readonly output: { readonly perplexity: Measured };
  /** Mean of ln(ppl_q / ppl_p) over positions: paired, so its error is far smaller than either perplexity's. */
  readonly logPerplexityRatio: Measured;
  /** KL(p || q) in nats per token. */
  readonly klNats: {
    readonly mean: Measured;
    readonly median: number;
    readonly p99: number;
    readonly p999: number;
    readonly max: number;
  };
  /** Fraction of positions where both models put the same token first. */
  readonly sameTopToken: Measured;
  /** Root mean square of q(label) - p(label), as a fraction. */
  readonly rmsDeltaP: Measured;
  readonly sample: { readonly prompt: string; readonly source: string; readonly output: string } | null;
}
