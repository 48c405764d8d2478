/**
 * @file llama.cpp's own quantizer, as it is: a whole file in, a whole file out. The pipeline does not use it; benches and
 * tests compare with it.
 */
import {
  BitsmithError,
  importanceWeights,
  MemorySource,
  readAnyImatrix,
  type TensorType,
} from '@bitsmith/formats';
import { readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import {
  imatrixArray,
  metadataOverrideArray,
  tensorOverrideArray,
  type OverrideValue,
} from '../binding/arrays.js';
import { callHolding, holding } from '../binding/async.js';
import { ggmlTypeCount, ggmlTypes, llamaFileTypes } from '../binding/layout.js';
import type { LlamaQuantizeParams } from '../binding/structs.js';
import { withLockedCodebooks } from './codebooks.js';
import { assertThreads, type Engine } from './engine.js';
import { assertImportance, assertWeightType, misuse, requiresImportance } from './validate.js';

/** llama.cpp's names for file types: `Q4_K_M`, `IQ3_XXS`, ... */
export type FileType = keyof typeof llamaFileTypes;

export interface QuantizeFileOptions {
  /** GGUF to read; of a split one, its first file. */
  source: string;
  /** GGUF to write; not needed for a dry run. */
  output?: string;
  fileType: FileType;
  /** Column weights by tensor name. */
  importance?: ReadonlyMap<string, Float32Array>;
  /** An importance matrix file, instead of `importance`. */
  importanceMatrixPath?: string;
  /** The first pattern (ECMAScript regular expression) found in a tensor's name decides its type. */
  tensorTypes?: readonly { readonly pattern: string; readonly type: TensorType }[];
  tokenEmbeddingType?: TensorType;
  outputTensorType?: TensorType;
  /** Every tensor in the file type's default type. */
  pure?: boolean;
  /** Whether the output head is quantized. Default true. */
  quantizeOutputTensor?: boolean;
  /** Allows sources that are quantized already. */
  allowRequantize?: boolean;
  /** Keys to set in the file: text, bigint for integers, number for floats, or boolean. */
  metadata?: ReadonlyMap<string, OverrideValue>;
  threads?: number;
  /** Only finds the size; nothing is written. */
  dryRun?: boolean;
  signal?: AbortSignal;
}

/**
 * Runs llama.cpp's quantizer on another thread. It cannot be interrupted: `signal` is heeded before and after.
 * @throws BitsmithError `QUANTIZE_FAILED` with the engine's own reason, `OUTPUT_IS_SOURCE`, `IMPORTANCE_REQUIRED`,
 *   `IMPORTANCE_INVALID`, `IMPORTANCE_ZERO`, `TENSOR_TYPE`, `TENSOR_PATTERN`
 */
export async function quantizeFile(engine: Engine, options: QuantizeFileOptions): Promise<void> {
  const { signal, dryRun = false } = options;
  signal?.throwIfAborted();
  const source = resolve(options.source);
  const output = dryRun ? '' : await outputPath(source, options.output);
  const importance = await importanceOf(options);
  validate(options, importance);
  const pointers = nativeArrays(options, importance);
  const params = quantizeParams(engine, options, pointers);
  const { llama_model_quantize } = engine.native;
  const status = await withLockedCodebooks(() =>
    callHolding(pointers, llama_model_quantize, source, output, params),
  );
  if (status !== 0) throw quantizeFailed(engine, source, output, params, pointers);
  signal?.throwIfAborted();
}

/** Why it failed: a dry run here on this thread, where log lines can be read, fails the same way or finds nothing wrong. */
function quantizeFailed(
  { native, log }: Engine,
  source: string,
  output: string,
  params: LlamaQuantizeParams,
  pointers: Pointers,
): BitsmithError {
  const status = holding(pointers, () =>
    log.collect(() => native.llama_model_quantize(source, output, { ...params, dry_run: true })),
  );
  const reason = status === 0 ? `it stopped while it wrote ${output}. ${log.warnings()}` : log.lastWords();
  return new BitsmithError(
    'engine',
    'QUANTIZE_FAILED',
    `expected llama.cpp to quantize ${source}, but it failed: ${reason}`,
    {
      found: reason,
      suggestion: 'Check the importance matrix, the types asked for, and the room on the disk.',
    },
  );
}

async function outputPath(source: string, output: string | undefined): Promise<string> {
  if (output === undefined) throw misuse('ENGINE_ARGUMENT', 'an output path', 'none');
  const path = resolve(output);
  let real = path;
  try {
    real = await realpath(path);
  } catch {
    real = join(await realpath(dirname(path)), basename(path));
  }
  // The source is mapped while the output is written: the same file would vanish under the reader.
  if (real === (await realpath(source))) {
    throw misuse('OUTPUT_IS_SOURCE', 'an output that is not the source', path);
  }
  return path;
}

async function importanceOf(
  options: QuantizeFileOptions,
): Promise<ReadonlyMap<string, Float32Array> | undefined> {
  if (options.importance !== undefined || options.importanceMatrixPath === undefined)
    return options.importance;
  const bytes = await readFile(options.importanceMatrixPath);
  const matrix = await readAnyImatrix(new MemorySource(bytes), { signal: options.signal });
  return new Map([...matrix.entries].map(([name, entry]) => [name, importanceWeights(entry)]));
}

/** What the engine would abort on or compute garbage from. */
function validate(
  options: QuantizeFileOptions,
  importance: ReadonlyMap<string, Float32Array> | undefined,
): void {
  const { fileType, tensorTypes = [], tokenEmbeddingType, outputTensorType, pure = false, threads } = options;
  if (!Object.hasOwn(llamaFileTypes, fileType))
    throw misuse('TENSOR_TYPE', 'a file type of llama.cpp', String(fileType));
  if (threads !== undefined) assertThreads(threads);
  for (const [name, weights] of importance ?? []) {
    assertImportance('Q4_K', weights, weights.length);
    if (name.includes('\0')) throw misuse('IMPORTANCE_INVALID', 'names without NUL', JSON.stringify(name));
  }
  for (const { pattern, type } of tensorTypes) {
    assertWeightType(type);
    assertPattern(pattern);
  }
  for (const [tensor, own] of [
    ['token_embd.weight', tokenEmbeddingType],
    ['output.weight', outputTensorType],
  ] as const) {
    if (own !== undefined) assertWeightType(own);
    const override = tensorTypes.find(({ pattern }) => new RegExp(pattern).test(tensor))?.type;
    const type = own ?? override ?? (pure ? (fileType as TensorType) : undefined);
    if (type === undefined || !requiresImportance(type) || importance?.has(tensor) === true) continue;
    throw misuse('IMPORTANCE_REQUIRED', `importance weights of ${tensor} for ${type}`, 'none');
  }
}

function assertPattern(pattern: string): void {
  try {
    new RegExp(pattern).test('');
  } catch {
    throw misuse('TENSOR_PATTERN', 'a regular expression', pattern);
  }
}

interface Pointers {
  readonly importance: ReturnType<typeof imatrixArray> | null;
  readonly types: ReturnType<typeof tensorOverrideArray> | null;
  readonly metadata: ReturnType<typeof metadataOverrideArray> | null;
}

function nativeArrays(
  options: QuantizeFileOptions,
  importance: ReadonlyMap<string, Float32Array> | undefined,
): Pointers {
  const { tensorTypes, metadata } = options;
  return {
    importance: importance === undefined ? null : imatrixArray(importance),
    types:
      tensorTypes === undefined
        ? null
        : tensorOverrideArray(tensorTypes.map(({ pattern, type }) => ({ pattern, type: ggmlTypes[type] }))),
    metadata: metadata === undefined ? null : metadataOverrideArray(metadata),
  };
}

function typeId(type: TensorType | undefined): number {
  return type === undefined ? ggmlTypeCount : ggmlTypes[type];
}

function quantizeParams(
  engine: Engine,
  options: QuantizeFileOptions,
  pointers: Pointers,
): LlamaQuantizeParams {
  return {
    ...engine.native.llama_model_quantize_default_params(),
    nthread: options.threads ?? engine.threads,
    ftype: llamaFileTypes[options.fileType],
    output_tensor_type: typeId(options.outputTensorType),
    token_embedding_type: typeId(options.tokenEmbeddingType),
    allow_requantize: options.allowRequantize ?? false,
    quantize_output_tensor: options.quantizeOutputTensor ?? true,
    pure: options.pure ?? false,
    dry_run: options.dryRun ?? false,
    imatrix: pointers.importance?.address ?? null,
    kv_overrides: pointers.metadata?.address ?? null,
    tt_overrides: pointers.types?.address ?? null,
  };
}
