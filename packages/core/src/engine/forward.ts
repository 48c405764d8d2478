/**
 * @file Chunks of tokens through a model, several sequences a batch, as llama.cpp's own tools run them, so that numbers
 * can be compared with theirs.
 */
import { LlamaContext, type LlamaModel, type NodeObserver, type TokenBatch } from '@bitsmith/ggml';
import { BATCH_LOGIT_BYTES, BATCH_TOKENS } from './batch-limits.js';
import { contextBytes, type ContextShape, memoryLimit, refuseTooLittleMemory } from './memory-need.js';

/** A context that takes whole chunks of `contextTokens`, as many a batch as the limits above allow, but at least one. */
export class ChunkRunner {
  readonly contextTokens: number;
  /** Chunks in one batch. */
  readonly sequences: number;
  readonly context: LlamaContext;
  private readonly vocabulary: number;

  private constructor(context: LlamaContext, contextTokens: number, sequences: number, vocabulary: number) {
    this.context = context;
    this.contextTokens = contextTokens;
    this.sequences = sequences;
    this.vocabulary = vocabulary;
  }

  static create(
    model: LlamaModel,
    options: {
      contextTokens: number;
      threads: number;
      chunks: number;
      /** Runners that share the batch limits; 1 unless told. */
      sharedBy?: number;
      observe?: NodeObserver;
    },
  ): ChunkRunner {
    const { contextTokens, threads, chunks, sharedBy = 1, observe } = options;
    const batchTokens = Math.min(BATCH_TOKENS, BATCH_LOGIT_BYTES / (4 * model.vocabulary.size)) / sharedBy;
    const sequences = Math.max(1, Math.min(chunks, Math.floor(batchTokens / contextTokens)));
    refuseTooLittleMemory(contextBytes(shapeOf(model, contextTokens * sequences)), memoryLimit());
    const context = LlamaContext.create(model, {
      contextTokens: contextTokens * sequences,
      batchTokens: contextTokens * sequences,
      sequences,
      threads,
      observe,
    });
    return new ChunkRunner(context, contextTokens, sequences, model.vocabulary.size);
  }

  /**
   * Runs up to `sequences` chunks at once. Logits are computed from position `firstOutput` of every chunk on.
   * @returns a view of [chunks x (contextTokens - firstOutput), vocabulary] logits, valid until the next run.
   */
  run(chunks: readonly Int32Array[], firstOutput: number): Float32Array {
    this.context.clearMemory();
    this.context.decode(this.batchOf(chunks, firstOutput));
    return this.logitsOf(chunks, firstOutput);
  }

  /** The same on a thread of its own, so that several runners work side by side. */
  async runAsync(chunks: readonly Int32Array[], firstOutput: number): Promise<Float32Array> {
    this.context.clearMemory();
    await this.context.decodeAsync(this.batchOf(chunks, firstOutput));
    return this.logitsOf(chunks, firstOutput);
  }

  private batchOf(chunks: readonly Int32Array[], firstOutput: number): TokenBatch {
    const { contextTokens } = this;
    const count = chunks.length * contextTokens;
    const tokens = new Int32Array(count);
    const positions = new Int32Array(count);
    const sequenceIds = new Int32Array(count);
    const outputs = new Uint8Array(count);
    chunks.forEach((chunk, sequence) => {
      const base = sequence * contextTokens;
      tokens.set(chunk, base);
      for (let k = 0; k < contextTokens; k++) {
        positions[base + k] = k;
        sequenceIds[base + k] = sequence;
        outputs[base + k] = k >= firstOutput ? 1 : 0;
      }
    });
    return { tokens, positions, sequenceIds, outputs };
  }

  private logitsOf(chunks: readonly Int32Array[], firstOutput: number): Float32Array {
    const rows = chunks.length * (this.contextTokens - firstOutput);
    return this.context.logits().subarray(0, rows * this.vocabulary);
  }

  /** The chunks in batches of `sequences`. */
  batches(chunks: readonly Int32Array[]): Int32Array[][] {
    const batches: Int32Array[][] = [];
    for (let i = 0; i < chunks.length; i += this.sequences) batches.push(chunks.slice(i, i + this.sequences));
    return batches;
  }

  dispose(): void {
    this.context.dispose();
  }
}

/** Logits are asked for in half of a context's positions at the least. */
function shapeOf(model: LlamaModel, tokens: number): ContextShape {
  const architecture = model.metadata('general.architecture') ?? '';
  const read = (key: string): number => Number(model.metadata(`${architecture}.attention.${key}`) ?? 0) || 0;
  const entries = read('key_length') + read('value_length');
  return {
    tokens,
    outputs: Math.floor(tokens / 2),
    vocabulary: model.vocabulary.size,
    layers: model.layers,
    cachedPerLayer: read('head_count_kv') * entries,
  };
}
