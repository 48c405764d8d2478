/**
 * @file In the engine: predictions of a model whose weights change between two runs over the same text, held against the
 * predictions of the model as it was.
 */
import { BitsmithError } from '@bitsmith/formats';
import type { LlamaModel } from '@bitsmith/ggml';
import { fitsTwice } from '../../engine/batch-limits.js';
import { ChunkRunner } from '../../engine/forward.js';
import { divergence, type ReferenceDistribution, referenceDistribution } from '../../evaluate/divergence.js';
import { inLanes } from '../../run/lanes.js';
import { firstScoredPosition } from '../scored-positions.js';

/**
 * Each batch is run in halves, side by side where there are threads for it: threads that share one graph wait for each
 * other at every node. The halves are the same for any number of threads, and so are the numbers. Where the logits of two
 * contexts would take too much memory, there is one.
 */
const HALVES = 2;

/** Chunks of one batch, each with its place in the text. */
export interface Batch {
  readonly firstChunk: number;
  readonly chunks: readonly Int32Array[];
}

/** The untouched model's predictions at every scored position of half a batch. */
export interface Baseline extends Batch {
  readonly probabilities: Float32Array;
  readonly references: readonly ReferenceDistribution[];
  /** -ln p of the token that follows, at every scored position; NaN at the end of a sequence, where none does. */
  readonly nllNats: Float64Array;
}

/** The changed model at every scored position, sequence by sequence. */
export interface PositionLosses {
  /** KL(p || q) in nats. */
  readonly klNats: number[];
  /** -ln q + ln p of the token that follows; NaN at the end of a sequence, where none does. */
  readonly nllIncreaseNats: number[];
}

/** Contexts over one model, side by side. */
export class LiveModel {
  /** Scored positions of one chunk. */
  readonly scored: number;
  private readonly runners: readonly ChunkRunner[];
  private readonly vocabulary: number;
  private readonly firstScored: number;
  private readonly sideBySide: boolean;

  private constructor(runners: readonly ChunkRunner[], vocabulary: number, sideBySide: boolean) {
    this.runners = runners;
    this.vocabulary = vocabulary;
    this.firstScored = firstScoredPosition(runners[0].contextTokens);
    this.scored = runners[0].contextTokens - this.firstScored;
    this.sideBySide = sideBySide;
  }

  /** @param chunks chunks of the whole text */
  static create(model: LlamaModel, contextTokens: number, chunks: number, threads: number): LiveModel {
    const count = fitsTwice(contextTokens, model.vocabulary.size) ? Math.min(HALVES, chunks) : 1;
    const options = {
      contextTokens,
      chunks: Math.ceil(chunks / count),
      sharedBy: count,
      threads: Math.max(1, Math.floor(threads / count)),
    };
    const runners = Array.from({ length: count }, () => ChunkRunner.create(model, options));
    return new LiveModel(runners, model.vocabulary.size, threads >= count);
  }

  /** The text in batches that all halves together take at once. */
  batches(chunks: readonly Int32Array[]): Batch[] {
    const size = this.runners.length * this.runners[0].sequences;
    const batches: Batch[] = [];
    for (let firstChunk = 0; firstChunk < chunks.length; firstChunk += size) {
      batches.push({ firstChunk, chunks: chunks.slice(firstChunk, firstChunk + size) });
    }
    return batches;
  }

  /** Bytes that the baselines of a batch take. */
  baselineBytes({ chunks }: Batch): number {
    return chunks.length * this.scored * this.vocabulary * Float32Array.BYTES_PER_ELEMENT;
  }

  /**
   * Predictions of the model as it is.
   * @throws BitsmithError `LOGITS_NOT_FINITE`, naming the token
   */
  async baselines(batch: Batch): Promise<Baseline[]> {
    const share = Math.ceil(batch.chunks.length / this.runners.length);
    const parts = this.runners.map((_, index) => ({
      firstChunk: batch.firstChunk + index * share,
      chunks: batch.chunks.slice(index * share, (index + 1) * share),
    }));
    return this.inEach(
      parts.filter(({ chunks }) => chunks.length > 0),
      (part, logits) => this.baselineOf(part, logits),
    );
  }

  /** Losses of the model as it is now from the baselines, at every scored position in order. Not finite where logits are not. */
  async losses(baselines: readonly Baseline[]): Promise<PositionLosses> {
    const { vocabulary } = this;
    const found = await this.inEach(baselines, (baseline, logits) => {
      const { references, probabilities, nllNats } = baseline;
      return references.map((reference, row) => {
        const offset = row * vocabulary;
        const { klNats, logSumExp } = divergence(
          reference,
          probabilities,
          offset,
          logits,
          offset,
          vocabulary,
        );
        const label = this.labelOf(baseline, row);
        const nll = label === null ? Number.NaN : logSumExp - logits[offset + label];
        return { klNats, nllIncreaseNats: nll - nllNats[row] };
      });
    });
    const positions = found.flat();
    return {
      klNats: positions.map(({ klNats }) => klNats),
      nllIncreaseNats: positions.map(({ nllIncreaseNats }) => nllIncreaseNats),
    };
  }

  dispose(): void {
    for (const runner of this.runners) runner.dispose();
  }

  /** Runs each part's chunks on a runner of its own; `read` gets the logits before the runner goes on. */
  private async inEach<Part extends Batch, Result>(
    parts: readonly Part[],
    read: (part: Part, logits: Float32Array) => Result,
  ): Promise<Result[]> {
    const results: Result[] = [];
    await inLanes(this.sideBySide ? parts.length : 1, parts.entries(), async ([index, part]) => {
      const logits = await this.runners[index].runAsync(part.chunks, this.firstScored);
      results[index] = read(part, logits);
    });
    return results;
  }

  private baselineOf(part: Batch, logits: Float32Array): Baseline {
    const { vocabulary } = this;
    const probabilities = new Float32Array(logits.length);
    const references = Array.from({ length: logits.length / vocabulary }, (_, row) => {
      const offset = row * vocabulary;
      const reference = referenceDistribution(logits, offset, vocabulary, probabilities, offset);
      if (!Number.isFinite(reference.negativeEntropy)) throw this.baselineNotFinite(part, row);
      return reference;
    });
    const nllNats = Float64Array.from(references, ({ logSumExp }, row) => {
      const label = this.labelOf(part, row);
      return label === null ? Number.NaN : logSumExp - logits[row * vocabulary + label];
    });
    return { ...part, probabilities, references, nllNats };
  }

  /** The token that follows a scored position; null at the end of its sequence. */
  private labelOf({ chunks }: Batch, row: number): number | null {
    const position = this.firstScored + (row % this.scored);
    return chunks[Math.floor(row / this.scored)].at(position + 1) ?? null;
  }

  private baselineNotFinite({ firstChunk, chunks }: Batch, row: number): BitsmithError {
    const chunk = Math.floor(row / this.scored);
    const position = this.firstScored + (row % this.scored);
    return new BitsmithError(
      'analysis',
      'LOGITS_NOT_FINITE',
      `expected finite predictions of the unchanged model, found NaN or infinity after position ${position} (token ${chunks[chunk][position]}) of sequence ${firstChunk + chunk}`,
      {
        suggestion:
          'The model overflows in its stored precision on this text. Try another text, or a source in F32 or BF16.',
      },
    );
  }
}
