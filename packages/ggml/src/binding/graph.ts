/** @file Graphs and the backend that computes them: the functions used, one line for one C prototype. */
import koffi, { type LibraryHandle } from 'koffi';
import type { AsyncCapable } from './async.js';
import type { Address, NullableAddress } from './structs.js';

type Native<Arguments extends unknown[], Result> = AsyncCapable<Arguments, Result>;

/** `(context, a) -> result` and its kin: every operation takes the context that holds its struct, then its operands. */
type Unary = Native<[Address, Address], Address>;
type Binary = Native<[Address, Address, Address], Address>;

/** Operands, then positions, frequency factors, and the eleven parameters of `ggml_rope_ext`. */
export type RopeArguments = [
  context: Address,
  a: Address,
  positions: Address,
  factors: NullableAddress,
  dimensions: number,
  mode: number,
  originalContext: number,
  base: number,
  scale: number,
  extrapolation: number,
  attention: number,
  betaFast: number,
  betaSlow: number,
];

const pointer = 'void *';
const ropeTypes = [
  ...Array<string>(4).fill(pointer),
  ...Array<string>(3).fill('int'),
  ...Array<string>(6).fill('float'),
];

export function declareGraph(l: LibraryHandle) {
  const declare = <Arguments extends unknown[], Returned>(
    name: string,
    result: string,
    args: string[],
  ): Native<Arguments, Returned> => l.func(name, result, args) as unknown as Native<Arguments, Returned>;
  const unary = (name: string): Unary => declare(name, pointer, [pointer, pointer]);
  const binary = (name: string): Binary => declare(name, pointer, [pointer, pointer, pointer]);
  const extents = Array<string>(4).fill('int64_t');
  return {
    ggml_new_tensor_4d: declare<[Address, number, number, number, number, number], Address>(
      'ggml_new_tensor_4d',
      pointer,
      [pointer, 'int', ...extents],
    ),
    ggml_reshape_4d: declare<[Address, Address, number, number, number, number], Address>(
      'ggml_reshape_4d',
      pointer,
      [pointer, pointer, ...extents],
    ),
    ggml_view_4d: declare<
      [Address, Address, number, number, number, number, number, number, number, number],
      Address
    >('ggml_view_4d', pointer, [pointer, pointer, ...extents, ...Array<string>(4).fill('size_t')]),
    ggml_permute: declare<[Address, Address, number, number, number, number], Address>(
      'ggml_permute',
      pointer,
      [pointer, pointer, 'int', 'int', 'int', 'int'],
    ),
    ggml_cont: unary('ggml_cont'),
    ggml_sqr: unary('ggml_sqr'),
    ggml_tanh: unary('ggml_tanh'),
    ggml_silu: unary('ggml_silu'),
    ggml_gelu: unary('ggml_gelu'),
    ggml_sum_rows: unary('ggml_sum_rows'),
    ggml_add: binary('ggml_add'),
    ggml_sub: binary('ggml_sub'),
    ggml_mul: binary('ggml_mul'),
    ggml_cpy: binary('ggml_cpy'),
    ggml_silu_back: binary('ggml_silu_back'),
    ggml_repeat_back: binary('ggml_repeat_back'),
    ggml_scale_bias: declare<[Address, Address, number, number], Address>('ggml_scale_bias', pointer, [
      pointer,
      pointer,
      'float',
      'float',
    ]),
    ggml_concat: declare<[Address, Address, Address, number], Address>('ggml_concat', pointer, [
      pointer,
      pointer,
      pointer,
      'int',
    ]),
    ggml_rms_norm: declare<[Address, Address, number], Address>('ggml_rms_norm', pointer, [
      pointer,
      pointer,
      'float',
    ]),
    ggml_rms_norm_back: declare<[Address, Address, Address, number], Address>('ggml_rms_norm_back', pointer, [
      pointer,
      pointer,
      pointer,
      'float',
    ]),
    ggml_soft_max_ext: declare<[Address, Address, NullableAddress, number, number], Address>(
      'ggml_soft_max_ext',
      pointer,
      [pointer, pointer, pointer, 'float', 'float'],
    ),
    ggml_soft_max_ext_back: declare<[Address, Address, Address, number, number], Address>(
      'ggml_soft_max_ext_back',
      pointer,
      [pointer, pointer, pointer, 'float', 'float'],
    ),
    ggml_rope_ext: declare<RopeArguments, Address>('ggml_rope_ext', pointer, ropeTypes),
    ggml_rope_ext_back: declare<RopeArguments, Address>('ggml_rope_ext_back', pointer, ropeTypes),
    ggml_mul_mat_set_prec: declare<[Address, number], void>('ggml_mul_mat_set_prec', 'void', [
      pointer,
      'int',
    ]),
    ggml_graph_overhead_custom: declare<[number, boolean], number>('ggml_graph_overhead_custom', 'size_t', [
      'size_t',
      'bool',
    ]),
    ggml_new_graph_custom: declare<[Address, number, boolean], Address>('ggml_new_graph_custom', pointer, [
      pointer,
      'size_t',
      'bool',
    ]),
    ggml_build_forward_expand: declare<[Address, Address], void>('ggml_build_forward_expand', 'void', [
      pointer,
      pointer,
    ]),
    ggml_gallocr_new: declare<[Address], NullableAddress>('ggml_gallocr_new', pointer, [pointer]),
    ggml_gallocr_free: declare<[Address], void>('ggml_gallocr_free', 'void', [pointer]),
    ggml_gallocr_alloc_graph: declare<[Address, Address], boolean>('ggml_gallocr_alloc_graph', 'bool', [
      pointer,
      pointer,
    ]),
    ggml_gallocr_get_buffer_size: declare<[Address, number], number>(
      'ggml_gallocr_get_buffer_size',
      'size_t',
      [pointer, 'int'],
    ),
    ggml_backend_cpu_buffer_type: declare<[], Address>('ggml_backend_cpu_buffer_type', pointer, []),
    ggml_backend_graph_compute: declare<[Address, Address], number>('ggml_backend_graph_compute', 'int', [
      pointer,
      pointer,
    ]),
    ggml_backend_dev_backend_reg: declare<[Address], Address>('ggml_backend_dev_backend_reg', pointer, [
      pointer,
    ]),
    ggml_backend_reg_get_proc_address: declare<[Address, string], NullableAddress>(
      'ggml_backend_reg_get_proc_address',
      pointer,
      [pointer, 'str'],
    ),
  };
}

const setThreads = koffi.proto('void', ['void *', 'int']);

/** `ggml_backend_set_n_threads_t`, as a device's library hands it out. */
export function setThreadsFunction(address: Address): (backend: Address, threads: number) => void {
  return koffi.decode(address, setThreads) as (backend: Address, threads: number) => void;
}
