/**
 * @file Encoding by our own kernels, on threads of their own, where their bytes are those of the engine's encoders: on
 * processors whose build of the engine rounds every product (x64; elsewhere compilers fuse multiplications with
 * additions), with importance weights where scales are searched, and after a check of each kernel against the engine on
 * this very machine.
 */
import type { TensorType } from '@bitsmith/formats';
import { callAsync } from '../binding/async.js';
import { ggmlTypes } from '../binding/layout.js';
import { type LaneSource, makeDecoder } from '../kernels/decode.js';
import { makeKernel } from '../kernels/kernels.js';
import { type CompiledKernel, fitsLane, Lane, LANE_PAGES, type LaneRequest } from '../kernels/lane.js';
import { wasmRuntime } from '../kernels/runtime.js';
import { type ValueType } from '../kernels/instructions.js';
import { assemble, type WasmFunction } from '../kernels/wasm.js';
import type { LaneCode } from '../kernels/worker.js';
import type { Engine } from './engine.js';
import { encodedByteLength } from './validate.js';

const decoders = new Map<LaneSource, Promise<LaneCode>>();
const kernels = new Map<TensorType, Promise<CompiledKernel | null>>();
const freeLanes: Lane[] = [];
const waiting: ((lane: Lane) => void)[] = [];
let lanes = 0;

/** Encodes rows by a kernel; false where the engine's own encoder has to do it. */
export async function encodeByKernel(
  engine: Engine,
  type: TensorType,
  request: LaneRequest,
): Promise<boolean> {
  if (process.arch !== 'x64') return false;
  const kernel = await once(kernels, type, () => prepare(engine, type));
  if (kernel === null || !fitsLane(request)) return false;
  if (kernel.needsImportance && request.importance === undefined) return false;
  return run(engine, kernel, request);
}

/** Floats in memory as a lane takes them. */
export function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

async function run(engine: Engine, kernel: CompiledKernel, request: LaneRequest): Promise<boolean> {
  const { source } = request;
  const decoder = await once(decoders, source, () => compile(`decode ${source}`, [makeDecoder(source)]));
  return inLane(engine, (lane) => lane.encode(decoder, kernel, request));
}

function once<Key, Value>(
  made: Map<Key, Promise<Value>>,
  key: Key,
  make: () => Promise<Value>,
): Promise<Value> {
  let value = made.get(key);
  if (value === undefined) {
    value = make();
    made.set(key, value);
  }
  return value;
}

async function compile(
  name: string,
  functions: readonly WasmFunction<ValueType | null>[],
): Promise<LaneCode> {
  return { name, module: await wasmRuntime.compile(assemble(functions, LANE_PAGES)) };
}

/** A lane for each thread that the engine may use; whoever comes later waits. */
async function inLane<Result>(engine: Engine, work: (lane: Lane) => Promise<Result>): Promise<Result> {
  const lane = await takeLane(engine);
  try {
    return await work(lane);
  } finally {
    const usable = lane.alive ? lane : new Lane();
    const next = waiting.shift();
    if (next === undefined) freeLanes.push(usable);
    else next(usable);
  }
}

async function takeLane({ threads }: Engine): Promise<Lane> {
  const free = freeLanes.pop();
  if (free !== undefined) return free;
  if (lanes >= threads) return new Promise((resolve) => waiting.push(resolve));
  lanes += 1;
  return new Lane();
}

/** Null for a type without a kernel, and for a kernel whose bytes differ from the engine's. */
async function prepare(engine: Engine, type: TensorType): Promise<CompiledKernel | null> {
  const kernel = makeKernel(type);
  if (kernel === undefined) return null;
  const { functions, constants, blockSize, needsImportance } = kernel;
  const compiled = { ...(await compile(type, functions)), constants, blockSize, needsImportance };
  const values = sampleValues();
  const importance = Float32Array.from({ length: SAMPLE_LENGTH }, (_, index) => (index % 19) ** 2 / 16);
  const sample: LaneRequest = {
    source: 'F32',
    bytes: bytesOf(values),
    rows: SAMPLE_ROWS,
    rowLength: SAMPLE_LENGTH,
    importance,
    limits: { largestImportance: null },
    target: new Uint8Array(encodedByteLength(type, SAMPLE_ROWS, SAMPLE_LENGTH)),
  };
  const done = await run(engine, compiled, sample);
  const expected = new Uint8Array(sample.target.byteLength);
  const { ggml_quantize_chunk: quantize } = engine.native;
  const shape = [SAMPLE_ROWS, SAMPLE_LENGTH] as const;
  await callAsync(quantize, ggmlTypes[type], values, expected, 0, ...shape, importance);
  return done && Buffer.compare(expected, sample.target) === 0 ? compiled : null;
}

const SAMPLE_ROWS = 32;
const SAMPLE_LENGTH = 512;

/** Rows of many magnitudes and signs, some constant, some zero. */
function sampleValues(): Float32Array {
  return Float32Array.from({ length: SAMPLE_ROWS * SAMPLE_LENGTH }, (_, index) => {
    const block = Math.floor(index / 32);
    const wave = Math.sin(index * index * 0.7) + 0.3 * Math.sin(index * 0.01);
    if (block % 16 === 0) return 0;
    if (block % 16 === 1) return -0.25;
    return (block % 16 === 2 ? -Math.abs(wave) : wave) * 2 ** -(block % 7);
  });
}
