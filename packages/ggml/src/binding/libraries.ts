/** @file Loads the engine's libraries and declares the functions used, one line for one C prototype. */
import koffi, { type LibraryHandle, type TypeObject } from 'koffi';
import type { AsyncCapable } from './async.js';
import { declareGraph } from './graph.js';
import { engineMissing, type EngineLocation } from './platform.js';
import {
  ggmlInitParams,
  llamaBatch,
  llamaContextParams,
  llamaModelParams,
  llamaQuantizeParams,
  type Address,
  type GgmlInitParams,
  type LlamaBatch,
  type LlamaContextParams,
  type LlamaModelParams,
  type LlamaQuantizeParams,
  type NullableAddress,
} from './structs.js';

type Native<Arguments extends unknown[], Result> = AsyncCapable<Arguments, Result>;
/** Bytes given by address: a typed array, or memory that native code owns. */
export type Bytes = ArrayBufferView | Address;

type Result = string | TypeObject;

function declare<Arguments extends unknown[], Returned>(
  library: LibraryHandle,
  name: string,
  result: Result,
  args: Result[],
): Native<Arguments, Returned> {
  return library.func(name, result, args) as unknown as Native<Arguments, Returned>;
}

function declareBase(l: LibraryHandle) {
  return {
    ggml_version: declare<[], string>(l, 'ggml_version', 'str', []),
    ggml_commit: declare<[], string>(l, 'ggml_commit', 'str', []),
    ggml_log_set: declare<[NullableAddress, null], void>(l, 'ggml_log_set', 'void', ['void *', 'void *']),
    ggml_type_name: declare<[number], string>(l, 'ggml_type_name', 'str', ['int']),
    ggml_type_size: declare<[number], number>(l, 'ggml_type_size', 'size_t', ['int']),
    ggml_blck_size: declare<[number], number>(l, 'ggml_blck_size', 'int64_t', ['int']),
    ggml_tensor_overhead: declare<[], number>(l, 'ggml_tensor_overhead', 'size_t', []),
    ggml_init: declare<[GgmlInitParams], NullableAddress>(l, 'ggml_init', 'void *', [ggmlInitParams]),
    ggml_free: declare<[Address], void>(l, 'ggml_free', 'void', ['void *']),
    ggml_new_tensor_2d: declare<[Address, number, number, number], Address>(
      l,
      'ggml_new_tensor_2d',
      'void *',
      ['void *', 'int', 'int64_t', 'int64_t'],
    ),
    ggml_set_name: declare<[Address, string], Address>(l, 'ggml_set_name', 'void *', ['void *', 'str']),
    ggml_mul_mat: declare<[Address, Address, Address], Address>(l, 'ggml_mul_mat', 'void *', [
      'void *',
      'void *',
      'void *',
    ]),
    ggml_op_name: declare<[number], string>(l, 'ggml_op_name', 'str', ['int']),
    ggml_get_type_traits: declare<[number], Address>(l, 'ggml_get_type_traits', 'void *', ['int']),
    ggml_quantize_requires_imatrix: declare<[number], boolean>(l, 'ggml_quantize_requires_imatrix', 'bool', [
      'int',
    ]),
    ggml_quantize_init: declare<[number], void>(l, 'ggml_quantize_init', 'void', ['int']),
    iq2xs_init_impl: declare<[number], void>(l, 'iq2xs_init_impl', 'void', ['int']),
    iq3xs_init_impl: declare<[number], void>(l, 'iq3xs_init_impl', 'void', ['int']),
    ggml_quantize_chunk: declare<
      [number, Bytes, Bytes, number, number, number, Bytes | null],
      number | bigint
    >(l, 'ggml_quantize_chunk', 'size_t', [
      'int',
      'void *',
      'void *',
      'int64_t',
      'int64_t',
      'int64_t',
      'void *',
    ]),
    ggml_validate_row_data: declare<[number, Bytes, number], boolean>(l, 'ggml_validate_row_data', 'bool', [
      'int',
      'void *',
      'size_t',
    ]),
    ggml_backend_buffer_is_host: declare<[Address], boolean>(l, 'ggml_backend_buffer_is_host', 'bool', [
      'void *',
    ]),
    ggml_backend_buffer_name: declare<[Address], string>(l, 'ggml_backend_buffer_name', 'str', ['void *']),
    ggml_backend_dev_name: declare<[Address], string>(l, 'ggml_backend_dev_name', 'str', ['void *']),
    ggml_backend_dev_description: declare<[Address], string>(l, 'ggml_backend_dev_description', 'str', [
      'void *',
    ]),
    ggml_backend_dev_init: declare<[Address, null], NullableAddress>(l, 'ggml_backend_dev_init', 'void *', [
      'void *',
      'void *',
    ]),
    ggml_backend_free: declare<[Address], void>(l, 'ggml_backend_free', 'void', ['void *']),
    ggml_backend_tensor_get: declare<[Address, Bytes, number, number], void>(
      l,
      'ggml_backend_tensor_get',
      'void',
      ['void *', 'void *', 'size_t', 'size_t'],
    ),
    ggml_backend_dev_type: declare<[Address], number>(l, 'ggml_backend_dev_type', 'int', ['void *']),
  };
}

function declareGgml(l: LibraryHandle) {
  return {
    ggml_backend_load_all_from_path: declare<[string], void>(l, 'ggml_backend_load_all_from_path', 'void', [
      'str',
    ]),
    ggml_backend_dev_count: declare<[], number>(l, 'ggml_backend_dev_count', 'size_t', []),
    ggml_backend_dev_get: declare<[number], Address>(l, 'ggml_backend_dev_get', 'void *', ['size_t']),
  };
}

function declareLlama(l: LibraryHandle) {
  return {
    llama_version: declare<[], string>(l, 'llama_version', 'str', []),
    llama_backend_init: declare<[], void>(l, 'llama_backend_init', 'void', []),
    llama_log_set: declare<[NullableAddress, null], void>(l, 'llama_log_set', 'void', ['void *', 'void *']),
    llama_print_system_info: declare<[], string>(l, 'llama_print_system_info', 'str', []),
    llama_max_parallel_sequences: declare<[], number>(l, 'llama_max_parallel_sequences', 'size_t', []),
    llama_model_default_params: declare<[], LlamaModelParams>(
      l,
      'llama_model_default_params',
      llamaModelParams,
      [],
    ),
    llama_context_default_params: declare<[], LlamaContextParams>(
      l,
      'llama_context_default_params',
      llamaContextParams,
      [],
    ),
    llama_model_quantize_default_params: declare<[], LlamaQuantizeParams>(
      l,
      'llama_model_quantize_default_params',
      llamaQuantizeParams,
      [],
    ),
    llama_model_load_from_file: declare<[string, LlamaModelParams], NullableAddress>(
      l,
      'llama_model_load_from_file',
      'void *',
      ['str', llamaModelParams],
    ),
    llama_model_free: declare<[Address], void>(l, 'llama_model_free', 'void', ['void *']),
    llama_init_from_model: declare<[Address, LlamaContextParams], NullableAddress>(
      l,
      'llama_init_from_model',
      'void *',
      ['void *', llamaContextParams],
    ),
    llama_free: declare<[Address], void>(l, 'llama_free', 'void', ['void *']),
    llama_model_quantize: declare<[string, string, LlamaQuantizeParams], number>(
      l,
      'llama_model_quantize',
      'uint32_t',
      ['str', 'str', koffi.pointer(llamaQuantizeParams)],
    ),
    ...declareModelQueries(l),
    ...declareContext(l),
  };
}

function declareModelQueries(l: LibraryHandle) {
  const count = (name: string): Native<[Address], number> => declare(l, name, 'int32_t', ['void *']);
  const flag = (name: string): Native<[Address], boolean> => declare(l, name, 'bool', ['void *']);
  const size = (name: string): Native<[Address], number | bigint> => declare(l, name, 'uint64_t', ['void *']);
  return {
    llama_model_get_vocab: declare<[Address], Address>(l, 'llama_model_get_vocab', 'void *', ['void *']),
    llama_model_n_ctx_train: count('llama_model_n_ctx_train'),
    llama_model_n_embd: count('llama_model_n_embd'),
    llama_model_n_layer: count('llama_model_n_layer'),
    llama_model_size: size('llama_model_size'),
    llama_model_n_params: size('llama_model_n_params'),
    llama_model_has_encoder: flag('llama_model_has_encoder'),
    llama_model_has_decoder: flag('llama_model_has_decoder'),
    llama_model_is_recurrent: flag('llama_model_is_recurrent'),
    llama_model_desc: declare<[Address, Bytes, number], number>(l, 'llama_model_desc', 'int32_t', [
      'void *',
      'void *',
      'size_t',
    ]),
    llama_model_meta_val_str: declare<[Address, string, Bytes, number], number>(
      l,
      'llama_model_meta_val_str',
      'int32_t',
      ['void *', 'str', 'void *', 'size_t'],
    ),
    llama_model_chat_template: declare<[Address, null], string | null>(
      l,
      'llama_model_chat_template',
      'str',
      ['void *', 'void *'],
    ),
    llama_vocab_type: count('llama_vocab_type'),
    llama_vocab_n_tokens: count('llama_vocab_n_tokens'),
    llama_vocab_bos: count('llama_vocab_bos'),
    llama_vocab_eos: count('llama_vocab_eos'),
    llama_vocab_get_add_bos: flag('llama_vocab_get_add_bos'),
    llama_vocab_get_add_eos: flag('llama_vocab_get_add_eos'),
    llama_vocab_is_eog: declare<[Address, number], boolean>(l, 'llama_vocab_is_eog', 'bool', [
      'void *',
      'int32_t',
    ]),
    llama_tokenize: declare<[Address, Bytes, number, Bytes | null, number, boolean, boolean], number>(
      l,
      'llama_tokenize',
      'int32_t',
      ['void *', 'void *', 'int32_t', 'void *', 'int32_t', 'bool', 'bool'],
    ),
    llama_detokenize: declare<[Address, Bytes, number, Bytes | null, number, boolean, boolean], number>(
      l,
      'llama_detokenize',
      'int32_t',
      ['void *', 'void *', 'int32_t', 'void *', 'int32_t', 'bool', 'bool'],
    ),
  };
}

function declareContext(l: LibraryHandle) {
  const limit = (name: string): Native<[Address], number> => declare(l, name, 'uint32_t', ['void *']);
  return {
    llama_n_ctx: limit('llama_n_ctx'),
    llama_n_ctx_seq: limit('llama_n_ctx_seq'),
    llama_n_batch: limit('llama_n_batch'),
    llama_n_ubatch: limit('llama_n_ubatch'),
    llama_n_seq_max: limit('llama_n_seq_max'),
    llama_get_memory: declare<[Address], NullableAddress>(l, 'llama_get_memory', 'void *', ['void *']),
    llama_memory_clear: declare<[Address, boolean], void>(l, 'llama_memory_clear', 'void', [
      'void *',
      'bool',
    ]),
    llama_memory_seq_pos_max: declare<[Address, number], number>(l, 'llama_memory_seq_pos_max', 'int32_t', [
      'void *',
      'int32_t',
    ]),
    llama_decode: declare<[Address, LlamaBatch], number>(l, 'llama_decode', 'int32_t', [
      'void *',
      llamaBatch,
    ]),
    llama_synchronize: declare<[Address], void>(l, 'llama_synchronize', 'void', ['void *']),
    llama_get_logits: declare<[Address], NullableAddress>(l, 'llama_get_logits', 'void *', ['void *']),
  };
}

export type NativeFunctions = ReturnType<typeof declareBase> &
  ReturnType<typeof declareGraph> &
  ReturnType<typeof declareGgml> &
  ReturnType<typeof declareLlama>;

export interface NativeLibraries {
  readonly functions: NativeFunctions;
  /** The address of a native function that ignores its arguments and returns: it serves as a silent log sink. */
  readonly silentLog: Address;
  /** The score that a CPU library gives itself on this machine; 0 means "cannot run here". */
  scoreOf(libraryPath: string): number;
}

/**
 * Loads base, ggml and llama, in the order in which they need each other.
 * @throws BitsmithError `ENGINE_NOT_INSTALLED` when a library does not load
 */
export function loadLibraries(location: EngineLocation): NativeLibraries {
  const open = (path: string): LibraryHandle => {
    try {
      return koffi.load(path);
    } catch (cause) {
      throw engineMissing(
        location.packageName,
        `found libraries that do not load: ${cause instanceof Error ? cause.message : String(cause)}`,
        cause,
      );
    }
  };
  const base = open(location.base);
  const ggml = open(location.ggml);
  const llama = open(location.llama);
  return {
    functions: { ...declareBase(base), ...declareGraph(base), ...declareGgml(ggml), ...declareLlama(llama) },
    silentLog: BigInt(koffi.address(llama.symbol('llama_supports_mmap'))),
    scoreOf: scoreOfLibrary,
  };
}

function scoreOfLibrary(path: string): number {
  try {
    const library = koffi.load(path);
    try {
      return Number(library.func('ggml_backend_score', 'int', [])());
    } finally {
      library.unload();
    }
  } catch {
    return 0;
  }
}
