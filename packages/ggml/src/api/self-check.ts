/**
 * @file What is checked of a loaded engine before it is trusted: a library of another build would still load, and would
 * read every struct wrongly. Returns what failed, in words; nothing here is slow.
 */
import { isTensorType, tensorTypeNames, tensorTypes, type TensorType } from '@bitsmith/formats';
import type { NativeFunctions } from '../binding/libraries.js';
import {
  ggmlOps,
  ggmlTypeCount,
  ggmlTypes,
  objectSize,
  structSizes,
  tensorLayout,
} from '../binding/layout.js';
import { readFixedString, readInt32, readInt64, readPointer } from '../binding/memory.js';
import { measuredStructSizes, type Address } from '../binding/structs.js';
import { needsCodebooks } from './codebooks.js';
import { decodeRows, encodeRows } from './encode.js';
import type { Engine } from './engine.js';
import { knownCodes, knownImportance, knownRow, knownRowLength } from './known-block.js';

export interface SelfCheck {
  readonly failures: readonly string[];
  /** Whether every encoder gave the very bytes that it gives on x64. */
  readonly bitExact: boolean;
}

export async function selfCheck(engine: Engine): Promise<SelfCheck> {
  const layout = [
    ...checkStructSizes(),
    ...checkDefaults(engine.native),
    ...checkNames(engine.native),
    ...checkTensorLayout(engine.native),
  ];
  if (layout.length > 0) return { failures: layout, bitExact: false };
  return checkCodes(engine);
}

function differ(what: string, expected: unknown, found: unknown): string[] {
  return expected === found ? [] : [`${what}: expected ${String(expected)}, found ${String(found)}`];
}

function checkStructSizes(): string[] {
  return Object.entries(measuredStructSizes()).flatMap(([name, size]) =>
    differ(`size of ${name}`, structSizes[name as keyof typeof structSizes], size),
  );
}

/** Default parameters, member by member where a shifted layout would show. */
function checkDefaults(native: NativeFunctions): string[] {
  const model = native.llama_model_default_params();
  const context = native.llama_context_default_params();
  const quantize = native.llama_model_quantize_default_params();
  const expected: [string, unknown, unknown][] = [
    ['model.n_gpu_layers', -1, model.n_gpu_layers],
    ['model.split_mode', 1, model.split_mode],
    ['model.load_mode', -1, model.load_mode],
    ['model.main_gpu', 0, model.main_gpu],
    ['model.kv_overrides', null, model.kv_overrides],
    ['model.vocab_only', false, model.vocab_only],
    ['model.use_extra_bufts', true, model.use_extra_bufts],
    ['model.no_alloc', false, model.no_alloc],
    ['context.n_ctx', 512, context.n_ctx],
    ['context.n_batch', 2048, context.n_batch],
    ['context.n_ubatch', 512, context.n_ubatch],
    ['context.n_seq_max', 1, context.n_seq_max],
    ['context.n_threads', 4, context.n_threads],
    ['context.flash_attn_type', -1, context.flash_attn_type],
    ['context.yarn_ext_factor', -1, context.yarn_ext_factor],
    ['context.type_k', ggmlTypes.F16, context.type_k],
    ['context.embeddings', false, context.embeddings],
    ['context.offload_kqv', true, context.offload_kqv],
    ['context.kv_unified', false, context.kv_unified],
    ['context.n_samplers', 0, Number(context.n_samplers)],
    ['context.ctx_other', null, context.ctx_other],
    ['quantize.ftype', 7, quantize.ftype],
    ['quantize.output_tensor_type', ggmlTypeCount, quantize.output_tensor_type],
    ['quantize.quantize_output_tensor', true, quantize.quantize_output_tensor],
    ['quantize.pure', false, quantize.pure],
    ['quantize.max_buf_size', 2 ** 33, Number(quantize.max_buf_size)],
  ];
  return expected.flatMap(([what, want, found]) => differ(`default of ${what}`, want, found));
}

/** Numbers of types and operations mean what this binding takes them for. */
function checkNames(native: NativeFunctions): string[] {
  const failures = tensorTypeNames.flatMap((name) => {
    const id = ggmlTypes[name];
    const { blockSize, blockBytes } = tensorTypes[name];
    return [
      ...differ(`name of type ${id}`, name, native.ggml_type_name(id).toUpperCase()),
      ...differ(`number of ${name}`, tensorTypes[name].id, id),
      ...differ(`block size of ${name}`, blockSize, Number(native.ggml_blck_size(id))),
      ...differ(`block bytes of ${name}`, blockBytes, Number(native.ggml_type_size(id))),
    ];
  });
  const operations = Object.entries(ggmlOps).flatMap(([name, op]) =>
    differ(`operation ${op}`, name, native.ggml_op_name(op)),
  );
  return [...failures, ...operations];
}

/** A small graph of known shape, read back through the offsets that observers and weight slots use. */
function checkTensorLayout(native: NativeFunctions): string[] {
  const overhead = differ(
    'size of ggml_tensor',
    tensorLayout.size + objectSize,
    Number(native.ggml_tensor_overhead()),
  );
  if (overhead.length > 0) return overhead;
  const context = native.ggml_init({ mem_size: 1 << 20, mem_buffer: null, no_alloc: false });
  if (context === null) return ['expected a ggml context, found none'];
  try {
    const weight = native.ggml_new_tensor_2d(context, ggmlTypes.Q4_K, 512, 3);
    const input = native.ggml_new_tensor_2d(context, ggmlTypes.F32, 512, 2);
    const product = native.ggml_mul_mat(context, weight, input);
    native.ggml_set_name(weight, 'check.weight');
    const data = readPointer(at(weight, tensorLayout.data));
    return [
      ...differ('ggml_tensor.type', ggmlTypes.Q4_K, readInt32(at(weight, tensorLayout.type))),
      ...differ('ggml_tensor.ne', '512,3,1,1', four(weight, tensorLayout.ne)),
      ...differ('ggml_tensor.nb', '144,288,864,864', four(weight, tensorLayout.nb)),
      ...differ('ggml_tensor.data', weight + BigInt(tensorLayout.size), data),
      ...differ(
        'ggml_tensor.name',
        'check.weight',
        readFixedString(at(weight, tensorLayout.name), tensorLayout.nameLength),
      ),
      ...differ('ggml_tensor.op', ggmlOps.MUL_MAT, readInt32(at(product, tensorLayout.op))),
      ...differ('ggml_tensor.src[0]', weight, readPointer(at(product, tensorLayout.src))),
      ...differ('ggml_tensor.src[1]', input, readPointer(at(product, tensorLayout.src + 8))),
      ...differ('ggml_tensor.src[9]', null, readPointer(at(product, tensorLayout.src + 72))),
      ...differ('ggml_tensor.view_src', null, readPointer(at(product, tensorLayout.viewSrc))),
    ];
  } finally {
    native.ggml_free(context);
  }
}

function at(tensor: Address, offset: number): Address {
  return tensor + BigInt(offset);
}

function four(tensor: Address, offset: number): string {
  return [0, 8, 16, 24].map((step) => readInt64(at(tensor, offset + step))).join(',');
}

/** Encodes and decodes the known row in every family. */
async function checkCodes(engine: Engine): Promise<SelfCheck> {
  const failures: string[] = [];
  let bitExact = true;
  const values = knownRow();
  for (const [type, { codes, relativeError }] of Object.entries(knownCodes)) {
    if (!isTensorType(type)) continue;
    const golden = new Uint8Array(Buffer.from(codes, 'base64'));
    const decoded = relativeErrorOf(values, await decoded256(engine, type, golden));
    if (Math.abs(decoded - relativeError) > 1e-5 + relativeError * 1e-4) {
      failures.push(`decoding ${type}: expected a relative error of ${relativeError}, found ${decoded}`);
    }
    if (needsCodebooks(type)) continue;
    const bytes = new Uint8Array(golden.byteLength);
    await encodeRows(
      engine,
      { type, values, rows: 1, rowLength: knownRowLength, importance: knownImportance() },
      bytes,
    );
    bitExact &&= Buffer.compare(bytes, golden) === 0;
    const encoded = relativeErrorOf(values, await decoded256(engine, type, bytes));
    if (!(encoded <= relativeError * 1.05 + 1e-5)) {
      failures.push(
        `encoding ${type}: expected a relative error of at most ${relativeError}, found ${encoded}`,
      );
    }
  }
  return { failures, bitExact };
}

async function decoded256(engine: Engine, type: TensorType, bytes: Uint8Array): Promise<Float32Array> {
  const target = new Float32Array(knownRowLength);
  await decodeRows(engine, { type, bytes, rows: 1, rowLength: knownRowLength }, target);
  return target;
}

function relativeErrorOf(values: Float32Array, decoded: Float32Array): number {
  let error = 0;
  let energy = 0;
  for (let i = 0; i < values.length; i++) {
    error += (values[i] - decoded[i]) ** 2;
    energy += values[i] ** 2;
  }
  return Math.sqrt(error / energy);
}
