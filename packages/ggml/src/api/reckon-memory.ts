/**
 * @file What a model with a context will take in memory, by llama.cpp's own reckoning: it opens the model and makes the context
 * without allocating either (`no_alloc`, what its `--fit` works with) and logs the sizes that it would have taken. That takes
 * milliseconds, for any architecture and any length of context. The log rounds to 0.01 MiB.
 */
import { BitsmithError, type TensorType } from '@bitsmith/formats';
import { resolve } from 'node:path';
import { ggmlTypes, loadModes } from '../binding/layout.js';
import { addressOf } from '../binding/memory.js';
import type { Engine } from './engine.js';
import { noDevices } from './model.js';
import { assertCount, assertWeightType } from './validate.js';

export interface MemoryQuestion {
  /** The GGUF; of a split one, its first file. */
  readonly path: string;
  /** Tokens of the context, of one sequence. */
  readonly contextTokens: number;
  /** What keys and values are kept in; the engine knows which types can. */
  readonly keyValueType: TensorType;
}

/** One cache: models that mix attention over a window with attention over everything have two. */
export interface CacheNeed {
  /** `kv`: keys and values of every token. `recurrent`: a state of fixed size. */
  readonly kind: 'kv' | 'recurrent';
  /** Tokens (or states) that it holds in each layer. */
  readonly cells: number;
  readonly layers: number;
  /** To 0.01 MiB, in bytes. */
  readonly bytes: number;
}

/** Sizes are those of the log, in bytes, each within 0.005 MiB. */
export interface MemoryAnswer {
  readonly contextTokens: number;
  readonly caches: readonly CacheNeed[];
  /** What graphs of the largest batch are computed in: 512 tokens at once, as llama.cpp's tools do by default. */
  readonly computeBytes: number;
  /** Logits of one position. */
  readonly outputBytes: number;
}

const MEBIBYTE = 2 ** 20;
/** As llama.cpp's own tools, unless told otherwise; they also keep no more of a window than attention looks at (`swa_full`). */
const BATCH_TOKENS = 2048;
const MICROBATCH_TOKENS = 512;
const MOST_CONTEXT = 2 ** 31 - 256;

/**
 * Asks the engine, on the CPU. Nothing is allocated and no weight is read.
 * @throws BitsmithError `MEMORY_UNKNOWN` with the engine's own reason where it cannot make such a context
 */
export function reckonMemory(engine: Engine, question: MemoryQuestion): MemoryAnswer {
  const { contextTokens, keyValueType } = question;
  assertCount('contextTokens', contextTokens, 1, MOST_CONTEXT);
  assertWeightType(keyValueType);
  const { result: made, text } = engine.log.read(() => makeNothing(engine, question));
  const answer = made ? readAnswer(text) : null;
  if (answer !== null) return answer;
  const reason = text.split('\n').filter((line) => /error|fail|require|not supported/i.test(line));
  throw new BitsmithError(
    'unsupported',
    'MEMORY_UNKNOWN',
    `expected the engine to reckon a context of ${contextTokens} tokens with keys and values in ${keyValueType}, but it could not: ${reason.slice(-2).join('; ').trim()}`,
    { suggestion: 'Try --kv-type F16, or give the budget as --size.' },
  );
}

/** Opens the model and makes the context, both without memory; false where the engine refuses. */
function makeNothing(
  { native, threads }: Engine,
  { path, contextTokens, keyValueType }: MemoryQuestion,
): boolean {
  const model = native.llama_model_load_from_file(resolve(path), {
    ...native.llama_model_default_params(),
    devices: addressOf(noDevices),
    n_gpu_layers: 0,
    load_mode: loadModes.none,
    use_extra_bufts: false,
    no_alloc: true,
  });
  if (model === null) return false;
  try {
    const type = ggmlTypes[keyValueType];
    const context = native.llama_init_from_model(model, {
      ...native.llama_context_default_params(),
      type_k: type,
      type_v: type,
      n_ctx: contextTokens,
      n_batch: BATCH_TOKENS,
      n_ubatch: MICROBATCH_TOKENS,
      n_seq_max: 1,
      swa_full: false,
      n_threads: threads,
      n_threads_batch: threads,
    });
    if (context !== null) native.llama_free(context);
    return context !== null;
  } finally {
    native.llama_model_free(model);
  }
}

const tokensLine = /n_ctx_seq += +(\d+)$/m;
const bufferLine = (name: string): RegExp => new RegExp(`${name} buffer size = +([\\d.]+) MiB`, 'g');
/** `size =   16.00 MiB (  4096 cells,   8 layers,  1/1 seqs), K (f16): ...`; recurrent states name `rs_seq` instead. */
const cacheLine = /size = +([\d.]+) MiB \( *(\d+) cells, +(\d+) layers, +[\d/]+ seqs([^)]*)\)/g;

/** Null for a log of another form. */
function readAnswer(text: string): MemoryAnswer | null {
  const tokens = tokensLine.exec(text)?.[1];
  const compute = [...text.matchAll(bufferLine('compute'))];
  const output = [...text.matchAll(bufferLine('output'))];
  if (tokens === undefined || compute.length === 0 || output.length === 0) return null;
  return {
    contextTokens: Number(tokens),
    caches: [...text.matchAll(cacheLine)].map(([, size, cells, layers, rest]) => ({
      kind: rest.includes('rs_seq') ? 'recurrent' : 'kv',
      cells: Number(cells),
      layers: Number(layers),
      bytes: Number(size) * MEBIBYTE,
    })),
    computeBytes: sumOf(compute),
    outputBytes: sumOf(output),
  };
}

function sumOf(matches: readonly RegExpMatchArray[]): number {
  return matches.reduce((sum, [, size]) => sum + Number(size) * MEBIBYTE, 0);
}
