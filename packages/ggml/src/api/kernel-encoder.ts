/**
 * @file Encoding by our own kernels, on threads of their own, where their bytes are those of the engine's encoders: on
 * processors whose build of the engine rounds every product (x64; elsewhere compilers fuse multiplications with
 * additions), with importance weights, and after a check of each kernel against the engine on this very machine.
 */
import type { TensorType } from '@bitsmith/formats';
import { callAsync } from '../binding/async.js';
import { ggmlTypes } from '../binding/layout.js';
import { makeKernel } from '../kernels/kernels.js';
import { type CompiledKernel, fitsLane, Lane, LANE_PAGES, type LaneRequest } from '../kernels/lane.js';
import { wasmRuntime } from '../kernels/runtime.js';
import { assemble } from '../kernels/wasm.js';
import type { Engine } from './engine.js';
import { encodedByteLength } from './validate.js';

const kernels = new Map<TensorType, Promise<CompiledKernel | null>>();
const freeLanes: Lane[] = [];
const waiting: ((lane: Lane) => void)[] = [];
let lanes = 0;

/** Encodes rows by a kernel; false where the engine's own encoder has to do it. */
export async function encodeByKernel(
  engine: Engine,
  type: TensorType,
  request: Omit<LaneRequest, 'importance'>,
  importance: Float32Array | undefined,
): Promise<boolean> {
  if (importance === undefined || process.arch !== 'x64') return false;
  let preparing = kernels.get(type);
  if (preparing === undefined) {
    preparing = prepare(engine, type);
    kernels.set(type, preparing);
  }
  const kernel = await preparing;
  const complete = { ...request, importance };
  if (kernel === null || !fitsLane(complete)) return false;
  await inLane(engine, (lane) => lane.encode(kernel, complete));
  return true;
}

/** A lane for each thread that the engine may use; whoever comes later waits. */
async function inLane(engine: Engine, work: (lane: Lane) => Promise<void>): Promise<void> {
  const lane = freeLanes.pop() ?? (await newLane(engine));
  try {
    await work(lane);
  } finally {
    const next = waiting.shift();
    if (next === undefined) freeLanes.push(lane);
    else next(lane);
  }
}

async function newLane({ threads }: Engine): Promise<Lane> {
  if (lanes >= threads) return new Promise((resolve) => waiting.push(resolve));
  lanes += 1;
  return new Lane();
}

/** Null for a type without a kernel, and for a kernel whose bytes differ from the engine's. */
async function prepare(engine: Engine, type: TensorType): Promise<CompiledKernel | null> {
  const kernel = makeKernel(type);
  if (kernel === undefined) return null;
  const module = await wasmRuntime.compile(assemble(kernel.functions, LANE_PAGES));
  const compiled: CompiledKernel = { name: type, module, constants: kernel.constants };
  const sample = sampleRequest(type);
  await inLane(engine, (lane) => lane.encode(compiled, sample));
  const expected = new Uint8Array(sample.target.byteLength);
  const { values, rows, rowLength, importance } = sample;
  await callAsync(
    engine.native.ggml_quantize_chunk,
    ggmlTypes[type],
    values,
    expected,
    0,
    rows,
    rowLength,
    importance,
  );
  return Buffer.compare(expected, sample.target) === 0 ? compiled : null;
}

const SAMPLE_ROWS = 32;
const SAMPLE_LENGTH = 512;

/** Rows of many magnitudes and signs, some constant, some zero. */
function sampleRequest(type: TensorType): LaneRequest {
  const values = Float32Array.from({ length: SAMPLE_ROWS * SAMPLE_LENGTH }, (_, index) => {
    const block = Math.floor(index / 32);
    const wave = Math.sin(index * index * 0.7) + 0.3 * Math.sin(index * 0.01);
    if (block % 16 === 0) return 0;
    if (block % 16 === 1) return -0.25;
    return (block % 16 === 2 ? -Math.abs(wave) : wave) * 2 ** -(block % 7);
  });
  const importance = Float32Array.from({ length: SAMPLE_LENGTH }, (_, index) => (index % 19) ** 2 / 16);
  const target = new Uint8Array(encodedByteLength(type, SAMPLE_ROWS, SAMPLE_LENGTH));
  return { values, importance, target, rows: SAMPLE_ROWS, rowLength: SAMPLE_LENGTH };
}
