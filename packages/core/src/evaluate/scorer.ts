/** @file Two models' logits of the same tokens to scores of positions, as `llama-perplexity` counts them. */
import { divergence, referenceDistribution } from './divergence.js';
import type { PositionScores } from './summary.js';

/** Positions from this one on are scored. */
export function firstScoredOf(contextTokens: number): number {
  return Math.floor(contextTokens / 2);
}

/** Scores positions as `llama-perplexity` does: the second half of every chunk, labels from the text. */
export class Scorer {
  readonly firstScored: number;
  readonly scores: PositionScores;
  private readonly contextTokens: number;
  private readonly vocabulary: number;
  private readonly probabilities: Float32Array;
  private position = 0;

  constructor(contextTokens: number, chunks: number, vocabulary: number) {
    this.contextTokens = contextTokens;
    this.firstScored = firstScoredOf(contextTokens);
    this.vocabulary = vocabulary;
    this.probabilities = new Float32Array(vocabulary);
    const positions = chunks * (contextTokens - 1 - this.firstScored);
    this.scores = {
      sourceNll: new Float64Array(positions),
      outputNll: new Float64Array(positions),
      klNats: new Float64Array(positions),
      deltaP: new Float64Array(positions),
      sameTop: new Uint8Array(positions),
    };
  }

  score(batch: readonly Int32Array[], source: Float32Array, output: Float32Array): void {
    const outputsPerChunk = this.contextTokens - this.firstScored;
    batch.forEach((chunk, sequence) => {
      for (let k = 0; k < outputsPerChunk - 1; k++) {
        const offset = (sequence * outputsPerChunk + k) * this.vocabulary;
        this.scorePosition(source, output, offset, chunk[this.firstScored + k + 1]);
      }
    });
  }

  private scorePosition(source: Float32Array, output: Float32Array, offset: number, label: number): void {
    const { vocabulary, probabilities, scores } = this;
    const p = referenceDistribution(source, offset, vocabulary, probabilities, 0);
    const q = divergence(p, probabilities, 0, output, offset, vocabulary);
    const logP = source[offset + label] - p.logSumExp;
    const logQ = output[offset + label] - q.logSumExp;
    const index = this.position++;
    scores.sourceNll[index] = -logP;
    scores.outputNll[index] = -logQ;
    scores.klNats[index] = q.klNats;
    scores.deltaP[index] = Math.exp(logQ) - Math.exp(logP);
    scores.sameTop[index] = p.top === q.top ? 1 : 0;
  }
}
