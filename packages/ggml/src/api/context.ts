/**
 * @file Running a model over tokens. Parameters are those of llama.cpp's own measuring tools, so that numbers agree with
 * theirs: separate key-value memory for each sequence, at most 512 tokens computed at once, flash attention as the
 * engine decides.
 */
import { BitsmithError } from '@bitsmith/formats';
import { callAsync } from '../binding/async.js';
import { registerEvalCallback, type RegisteredCallback } from '../binding/callbacks.js';
import { ggmlTypes } from '../binding/layout.js';
import { viewMemory } from '../binding/memory.js';
import type { Address, LlamaContextParams } from '../binding/structs.js';
import { BatchBuffers, type TokenBatch } from './batch.js';
import { assertThreads } from './engine.js';
import { Lifetime } from './lifetime.js';
import type { LlamaModel } from './model.js';
import { GraphReader, NodeView, type NodeObserver } from './observe.js';
import { assertCount, misuse } from './validate.js';

export interface ContextOptions {
  /** Tokens of all sequences together. */
  contextTokens: number;
  /** Most tokens in one `decode`; `contextTokens` unless told. */
  batchTokens?: number;
  /** Most tokens that the engine computes at once; 512 unless told. */
  microbatchTokens?: number;
  /** Sequences held side by side; 1 unless told. */
  sequences?: number;
  threads?: number;
  /** Numbers that keys and values are kept in: `F16` unless told. `F32` takes twice the room and rounds nothing: to compare with. */
  keyValueType?: 'F16' | 'F32';
  /** Whether attention is computed in one piece; unless told, the engine decides. */
  flashAttention?: boolean;
  /** Looks at graph nodes as they are computed. */
  observe?: NodeObserver;
}

const defaultMicrobatch = 512;

export class LlamaContext {
  readonly model: LlamaModel;
  readonly sequences: number;
  /** Positions that each sequence can hold. */
  readonly tokensPerSequence: number;
  private readonly address: Address;
  private readonly memory: Address;
  private readonly lifetime: Lifetime;
  private readonly batch: BatchBuffers;
  private readonly observation: Observation | undefined;
  private next: Int32Array;
  private outputs = 0;
  private computing = false;
  private view: { address: Address; buffer: ArrayBuffer } | undefined;

  private constructor(
    model: LlamaModel,
    address: Address,
    memory: Address,
    capacity: number,
    observation?: Observation,
  ) {
    const { native } = model.engine;
    this.model = model;
    this.address = address;
    this.memory = memory;
    this.observation = observation;
    this.sequences = native.llama_n_seq_max(address);
    this.tokensPerSequence = native.llama_n_ctx_seq(address);
    this.lifetime = new Lifetime('context', model.lifetime);
    this.batch = new BatchBuffers(capacity);
    this.next = new Int32Array(this.sequences);
  }

  /** @throws BitsmithError `ENGINE_ARGUMENT`, `THREAD_COUNT`, `CONTEXT_FAILED` with the engine's own reason */
  static create(model: LlamaModel, options: ContextOptions): LlamaContext {
    const { native, log } = model.engine;
    const batchTokens = options.batchTokens ?? options.contextTokens;
    model.lifetime.assertAlive();
    assertCreatable(model, options, batchTokens);
    const observation = options.observe === undefined ? undefined : new Observation(model, options.observe);
    const params = contextParams(model, options, batchTokens, observation);
    const address = log.collect(() => native.llama_init_from_model(model.address, params));
    const memory = address === null ? null : native.llama_get_memory(address);
    if (address === null || memory === null) {
      observation?.dispose();
      if (address !== null) native.llama_free(address);
      throw new BitsmithError(
        'engine',
        'CONTEXT_FAILED',
        `expected a context of ${options.contextTokens} tokens, but the engine could not make it: ${log.lastWords()}`,
        { suggestion: 'Use a smaller context, or a machine with more memory.' },
      );
    }
    return new LlamaContext(model, address, memory, batchTokens, observation);
  }

  /**
   * Computes a batch on this thread; logits are then those of its outputs, in the batch's order.
   * @throws BitsmithError `BATCH_SIZE`, `TOKEN_RANGE`, `BATCH_SEQUENCE`, `BATCH_POSITION`, `DECODE_FAILED`
   */
  decode(batch: TokenBatch): void {
    const ends = this.prepare(batch);
    const { llama_decode } = this.model.engine.native;
    this.finish(llama_decode(this.address, this.batch.asNative(batch.tokens.length)), ends);
  }

  /** The same on another thread, so that JavaScript runs meanwhile. With an observer it computes on this thread. */
  async decodeAsync(batch: TokenBatch, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    signal?.throwIfAborted();
    if (this.observation !== undefined) {
      this.decode(batch);
      return;
    }
    const ends = this.prepare(batch);
    const { llama_decode } = this.model.engine.native;
    this.computing = true;
    this.model.countComputation(1);
    let status: number;
    try {
      status = await callAsync(llama_decode, this.address, this.batch.asNative(batch.tokens.length));
    } finally {
      this.computing = false;
      this.model.countComputation(-1);
    }
    this.finish(status, ends);
    signal?.throwIfAborted();
  }

  /**
   * The last batch's logits, [outputs x vocabulary], in the engine's own memory: never touch the array after the next
   * decode or the context's disposal.
   * @throws BitsmithError `NO_OUTPUTS`
   */
  logits(): Float32Array {
    this.assertIdle();
    const address = this.outputs === 0 ? null : this.model.engine.native.llama_get_logits(this.address);
    if (address === null) throw misuse('NO_OUTPUTS', 'a decoded batch with outputs', 'none');
    const length = this.outputs * this.model.vocabulary.size;
    if (this.view?.address !== address || this.view.buffer.byteLength < length * 4) {
      this.view = { address, buffer: viewMemory(address, length * 4) };
    }
    return new Float32Array(this.view.buffer, 0, length);
  }

  /** Forgets all sequences. */
  clearMemory(): void {
    this.assertIdle();
    this.model.engine.native.llama_memory_clear(this.memory, true);
    this.next = new Int32Array(this.sequences);
  }

  dispose(): void {
    if (!this.lifetime.isAlive) return;
    this.assertIdle();
    this.lifetime.end(() => {
      this.view = undefined;
      this.model.engine.native.llama_free(this.address);
      this.observation?.dispose();
    });
  }

  private prepare(batch: TokenBatch): Int32Array {
    this.assertIdle();
    const ends = this.batch.validate(batch, this.model.vocabulary, this.next, this.tokensPerSequence);
    this.outputs = this.batch.fill(batch);
    return ends;
  }

  private finish(status: number, ends: Int32Array): void {
    if (status === 0) this.next = ends;
    else this.outputs = 0;
    this.observation?.rethrow();
    if (status === 0) return;
    throw new BitsmithError(
      'engine',
      'DECODE_FAILED',
      `expected the engine to compute the batch, but it returned ${status} (1: no room in the context, 2: stopped, below 0: refused)`,
      {
        found: String(status),
        suggestion: 'Clear the memory before the next batch, or use a larger context.',
      },
    );
  }

  private assertIdle(): void {
    this.lifetime.assertAlive();
    if (this.computing)
      throw misuse('CONTEXT_BUSY', 'an idle context', 'one that is computing', 'Await decodeAsync first.');
  }
}

function assertCreatable(model: LlamaModel, options: ContextOptions, batchTokens: number): void {
  const { contextTokens, sequences = 1, microbatchTokens = defaultMicrobatch, threads } = options;
  if (!model.engine.native.llama_model_has_decoder(model.address)) {
    throw misuse('MODEL_NO_DECODER', 'a model that predicts tokens', model.description);
  }
  if (model.vocabOnly) throw misuse('MODEL_VOCAB_ONLY', 'a model with weights', 'one opened with vocabOnly');
  assertCount('contextTokens', contextTokens, 1, 1 << 24);
  assertCount('batchTokens', batchTokens, 1, contextTokens);
  assertCount('microbatchTokens', microbatchTokens, 1, 1 << 20);
  assertCount('sequences', sequences, 1, Number(model.engine.native.llama_max_parallel_sequences()));
  if (contextTokens < sequences)
    throw misuse('ENGINE_ARGUMENT', 'a token of context for each sequence', `${contextTokens}`);
  if (threads !== undefined) assertThreads(threads);
}

function contextParams(
  model: LlamaModel,
  options: ContextOptions,
  batchTokens: number,
  observation: Observation | undefined,
): LlamaContextParams {
  const threads = options.threads ?? model.engine.threads;
  const defaults = model.engine.native.llama_context_default_params();
  const keyValueType = ggmlTypes[options.keyValueType ?? 'F16'];
  return {
    ...defaults,
    type_k: keyValueType,
    type_v: keyValueType,
    flash_attn_type:
      options.flashAttention === undefined ? defaults.flash_attn_type : Number(options.flashAttention),
    n_ctx: options.contextTokens,
    n_batch: batchTokens,
    n_ubatch: Math.min(batchTokens, options.microbatchTokens ?? defaultMicrobatch),
    n_seq_max: options.sequences ?? 1,
    n_outputs_max: 0,
    n_outputs_max_per_seq: 0,
    n_threads: threads,
    n_threads_batch: threads,
    cb_eval: observation?.address ?? null,
    swa_full: false,
    kv_unified: false,
  };
}

/** The observer of a context, behind the native callback. */
class Observation {
  private readonly callback: RegisteredCallback;
  private failure: { error: unknown } | undefined;

  constructor(model: LlamaModel, observer: NodeObserver) {
    const node = new NodeView(new GraphReader(model.engine.native));
    this.callback = registerEvalCallback((tensor, ask) => {
      if (this.failure !== undefined) return false;
      node.address = BigInt(tensor);
      try {
        if (ask) return observer.wants(node);
        observer.take(node);
        return true;
      } catch (error) {
        this.failure = { error };
        return false;
      }
    });
  }

  get address(): Address {
    return this.callback.address;
  }

  /** Throws what the observer threw during the last computation. */
  rethrow(): void {
    const failure = this.failure;
    this.failure = undefined;
    if (failure !== undefined) throw failure.error;
  }

  dispose(): void {
    this.callback.release();
  }
}
