/**
 * @file llama.cpp's own recipes: which type every tensor gets under a file type such as Q4_K_M. A dry run of its quantizer
 * decides all of them without reading a weight and says each in a line of its log, so nothing of its rules is written twice.
 */
import { BitsmithError, isTensorType, type TensorType } from '@bitsmith/formats';
import { resolve } from 'node:path';
import { imatrixArray } from '../binding/arrays.js';
import { holding } from '../binding/async.js';
import { llamaFileTypes } from '../binding/layout.js';
import type { Engine } from './engine.js';
import type { FileType } from './quantize-file.js';
import { misuse } from './validate.js';

export interface FileRecipeOptions {
  /** GGUF to read; of a split one, its first file. */
  readonly source: string;
  readonly fileType: FileType;
  /** Whether there is an importance matrix: some recipes differ by it. */
  readonly importance: boolean;
}

/** `[   3/  75] blk.0.attn_k.weight  - [   256,   128,     1,     1], type =   bf16, size = ... MiB -> ... MiB (q4_K)` */
const tensorLine = /^\[ *\d+\/ *\d+\] (.+?) +- \[[ \d,]+\], type = +(\w+), size = .+ MiB(?: \((\w+)\))?$/;

/**
 * The type of every tensor of `source` under a file type, as `llama-quantize` would write it. Runs on this thread, for the
 * time that the file's header takes to read.
 * @throws BitsmithError `RECIPE_FAILED` with the engine's own reason, `RECIPE_UNREADABLE` for a log of another form
 */
export function fileRecipe(engine: Engine, options: FileRecipeOptions): ReadonlyMap<string, TensorType> {
  const { native, log } = engine;
  const { fileType, importance } = options;
  const source = resolve(options.source);
  if (!Object.hasOwn(llamaFileTypes, fileType))
    throw misuse('TENSOR_TYPE', 'a file type of llama.cpp', String(fileType));
  // Recipes ask whether there is a matrix, not what is in it.
  const matrix = importance ? imatrixArray(new Map([['any', new Float32Array([1])]])) : null;
  const params = {
    ...native.llama_model_quantize_default_params(),
    nthread: 1,
    ftype: llamaFileTypes[fileType],
    allow_requantize: true,
    dry_run: true,
    imatrix: matrix?.address ?? null,
  };
  const { result: status, text } = holding(matrix, () =>
    log.read(() => native.llama_model_quantize(source, '', params)),
  );
  if (status !== 0) throw failed(source, fileType, text);
  return readRecipe(text, source);
}

/** Reads the types from the log of a dry run. */
function readRecipe(text: string, source: string): ReadonlyMap<string, TensorType> {
  const types = new Map<string, TensorType>();
  for (const line of text.split('\n').filter((each) => /^\[ *\d+\//.test(each))) {
    const [, name, stored, target = stored] = tensorLine.exec(line) ?? [];
    const type = target?.toUpperCase();
    if (name === undefined || type === undefined || !isTensorType(type)) throw unreadable(source, line);
    types.set(name, type);
  }
  if (types.size === 0) throw unreadable(source, text.slice(-200));
  return types;
}

function failed(source: string, fileType: string, text: string): BitsmithError {
  const reason = text.trim().split('\n').slice(-3).join('; ');
  return new BitsmithError(
    'engine',
    'RECIPE_FAILED',
    `expected llama.cpp to say what ${fileType} makes of ${source}, but it failed: ${reason}`,
    { found: reason },
  );
}

function unreadable(source: string, found: string): BitsmithError {
  return new BitsmithError(
    'engine',
    'RECIPE_UNREADABLE',
    `expected llama.cpp to name every tensor of ${source} with its type, found ${JSON.stringify(found)}`,
    { found },
  );
}
