/** @file A model opened by llama.cpp from a GGUF file, memory-mapped unless told otherwise. */
import { BitsmithError } from '@bitsmith/formats';
import { accessSync, constants, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { loadModes } from '../binding/layout.js';
import { addressOf } from '../binding/memory.js';
import type { Address, LlamaModelParams } from '../binding/structs.js';
import { assertGpu, type Engine } from './engine.js';
import { Lifetime } from './lifetime.js';
import { assertCount, misuse } from './validate.js';
import { Vocabulary } from './vocabulary.js';

export interface OpenModelOptions {
  /** Maps the file instead of reading it into memory. Default true. */
  mmap?: boolean;
  /**
   * Layers to keep on the GPUs of an engine that was loaded with `gpu`; more than the model has: all of them, and the
   * output. Default 0: everything on the CPU.
   */
  gpuLayers?: number;
  /** Loads the vocabulary and metadata only; such a model runs nothing. */
  vocabOnly?: boolean;
  signal?: AbortSignal;
}

/** An empty device list, which keeps a model off every GPU. llama.cpp may look at it again: it lives forever. */
/** @internal */
export const noDevices = new BigUint64Array(new ArrayBuffer(64));

export class LlamaModel {
  readonly engine: Engine;
  readonly path: string;
  /** @internal */
  readonly address: Address;
  /** @internal */
  readonly lifetime: Lifetime;
  readonly vocabOnly: boolean;
  readonly vocabulary: Vocabulary;
  /** Tokens of context the model was trained with. */
  readonly trainedContext: number;
  readonly embeddingLength: number;
  readonly layers: number;
  readonly parameterCount: number;
  /** Bytes of all tensors. */
  readonly byteLength: number;
  /** llama.cpp's one-line description: architecture, size class, file type. */
  readonly description: string;
  /** The default chat template, or null. */
  readonly chatTemplate: string | null;
  private computations = 0;

  private constructor(engine: Engine, path: string, address: Address, vocabOnly: boolean) {
    const { native } = engine;
    this.engine = engine;
    this.path = path;
    this.address = address;
    this.vocabOnly = vocabOnly;
    this.lifetime = new Lifetime('model');
    this.vocabulary = new Vocabulary(native, native.llama_model_get_vocab(address), this.lifetime);
    this.trainedContext = native.llama_model_n_ctx_train(address);
    this.embeddingLength = native.llama_model_n_embd(address);
    this.layers = native.llama_model_n_layer(address);
    this.parameterCount = Number(native.llama_model_n_params(address));
    this.byteLength = Number(native.llama_model_size(address));
    this.description = readString((bytes) => native.llama_model_desc(address, bytes, bytes.length));
    this.chatTemplate = native.llama_model_chat_template(address, null);
  }

  /**
   * Opens a GGUF; of a split one, its first file. A mapped file opens in milliseconds; one that is read (`mmap: false`) holds
   * up JavaScript meanwhile.
   * @throws BitsmithError `MODEL_NOT_FOUND`, `ENGINE_GPU_NOT_LOADED`, `MODEL_UNREADABLE` with the engine's own reason
   */
  static async open(engine: Engine, path: string, options: OpenModelOptions = {}): Promise<LlamaModel> {
    const { mmap = true, gpuLayers = 0, vocabOnly = false, signal } = options;
    signal?.throwIfAborted();
    assertCount('gpuLayers', gpuLayers, 0, 1 << 20);
    if (gpuLayers > 0) assertGpu(engine);
    const file = resolve(path);
    assertReadable(file);
    const { native, log } = engine;
    const params: LlamaModelParams = {
      ...native.llama_model_default_params(),
      devices: gpuLayers === 0 ? addressOf(noDevices) : null,
      n_gpu_layers: gpuLayers,
      load_mode: mmap ? loadModes.memoryMap : loadModes.none,
      use_extra_bufts: false,
      vocab_only: vocabOnly,
    };
    const address = log.collect(() => native.llama_model_load_from_file(file, params));
    if (address === null) throw unreadable(file, log.lastWords(), gpuLayers > 0);
    const model = new LlamaModel(engine, file, address, vocabOnly);
    if (signal?.aborted === true) model.dispose();
    signal?.throwIfAborted();
    return model;
  }

  /** A scalar of the model's metadata as text, or null. */
  metadata(key: string): string | null {
    this.lifetime.assertAlive();
    const { native } = this.engine;
    const length = native.llama_model_meta_val_str(this.address, key, new Uint8Array(64), 64);
    if (length < 0) return null;
    return readString(
      (bytes) => native.llama_model_meta_val_str(this.address, key, bytes, bytes.length),
      length + 1,
    );
  }

  /** @internal Marks the start (+1) and end (-1) of a computation on another thread. */
  countComputation(change: 1 | -1): void {
    this.computations += change;
  }

  /** @internal @throws BitsmithError `CONTEXT_BUSY` while one of the model's contexts computes */
  assertIdle(): void {
    this.lifetime.assertAlive();
    if (this.computations === 0) return;
    throw misuse('CONTEXT_BUSY', 'a model at rest', 'one that is computing', 'Await decodeAsync first.');
  }

  /** Frees the model. @throws BitsmithError `ENGINE_IN_USE` while a context of it is open */
  dispose(): void {
    this.lifetime.end(() => this.engine.native.llama_model_free(this.address));
  }
}

function readString(fill: (bytes: Uint8Array) => number, capacity = 512): string {
  const bytes = new Uint8Array(Math.max(128, capacity));
  const length = Math.min(fill(bytes), bytes.length - 1);
  return length <= 0 ? '' : Buffer.from(bytes.subarray(0, length)).toString('utf8');
}

function assertReadable(path: string): void {
  try {
    if (statSync(path).isFile()) {
      accessSync(path, constants.R_OK);
      return;
    }
  } catch (cause) {
    throw new BitsmithError(
      'model-not-found',
      'MODEL_NOT_FOUND',
      `expected a readable GGUF file, found nothing readable at ${path}`,
      {
        suggestion: 'Check the path and its permissions.',
        cause,
      },
    );
  }
  throw new BitsmithError(
    'model-not-found',
    'MODEL_NOT_FOUND',
    `expected a GGUF file, found a folder at ${path}`,
  );
}

function unreadable(path: string, reason: string, offloaded: boolean): BitsmithError {
  const damaged = 'The file is damaged, incomplete, or of an architecture that this engine does not know.';
  return new BitsmithError(
    'validation',
    'MODEL_UNREADABLE',
    `expected a GGUF that the engine opens, but it refused ${path}${reason === '' ? '' : `: ${reason}`}`,
    {
      found: reason,
      suggestion: offloaded ? `${damaged} Or the GPU lacks the memory for it: run on the CPU.` : damaged,
    },
  );
}
