/**
 * @file Encoding by our own kernels, on threads of their own, where their bytes are those of the engine's encoders: on
 * processors whose build of the engine rounds every product (x64; elsewhere compilers fuse multiplications with
 * additions), and after each kernel was checked on this very machine, against the engine or against known digests of its
 * bytes. Most kernels need importance weights.
 */
import type { TensorType } from '@bitsmith/formats';
import { callAsync } from '../binding/async.js';
import { ggmlTypes } from '../binding/layout.js';
import { type LaneSource, makeDecoder } from '../kernels/decode.js';
import { gridTables } from '../kernels/grid-tables.js';
import { gridCodes, type GridName, gridShapes, rowOfGrid } from '../kernels/grids.js';
import { makeKernel } from '../kernels/kernels.js';
import { type CompiledKernel, fitsLane, Lane, LANE_PAGES, type LaneRequest } from '../kernels/lane.js';
import { wasmRuntime } from '../kernels/runtime.js';
import { type ValueType } from '../kernels/instructions.js';
import { assemble, type WasmFunction } from '../kernels/wasm.js';
import type { LaneCode } from '../kernels/worker.js';
import { decoderOf } from './decoder.js';
import type { Engine } from './engine.js';
import {
  digestOf,
  knownDigests,
  knownDigestsWithoutImportance,
  sampleImportance,
  sampleRowLength,
  sampleRows,
  sampleValues,
} from './kernel-sample.js';
import { encodedByteLength } from './validate.js';

const decoders = new Map<LaneSource, Promise<LaneCode>>();
const grids = new Map<GridName, Promise<CompiledKernel['tables']>>();
const kernels = new Map<string, Promise<CompiledKernel | null>>();
const freeLanes: Lane[] = [];
const waiting: ((lane: Lane) => void)[] = [];
let lanes = 0;

/** Encodes rows by a kernel; false where the engine's own encoder has to do it. */
export async function encodeByKernel(
  engine: Engine,
  type: TensorType,
  request: LaneRequest,
): Promise<boolean> {
  const kernel = await kernelOf(engine, type, request.importance !== undefined);
  if (kernel === null || !fitsLane(request)) return false;
  return run(engine, kernel, request);
}

/** Whether a kernel encodes a type here, given importance weights. */
export async function hasKernel(engine: Engine, type: TensorType): Promise<boolean> {
  return (await kernelOf(engine, type, true)) !== null;
}

async function kernelOf(
  engine: Engine,
  type: TensorType,
  hasImportance: boolean,
): Promise<CompiledKernel | null> {
  if (process.arch !== 'x64') return null;
  const name = hasImportance ? type : `${type} without importance`;
  return once(kernels, name, () => prepare(engine, type, hasImportance, name));
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
async function prepare(
  engine: Engine,
  type: TensorType,
  hasImportance: boolean,
  name: string,
): Promise<CompiledKernel | null> {
  const kernel = makeKernel(type, hasImportance);
  if (kernel === undefined) return null;
  const { functions, constants, grid, blockSize } = kernel;
  const tables = grid === undefined ? null : await once(grids, grid, async () => tablesOf(engine, grid));
  if (grid !== undefined && tables === null) return null;
  const compiled = { ...(await compile(name, functions)), constants, tables, blockSize };
  const importance = hasImportance ? sampleImportance() : undefined;
  const target = new Uint8Array(encodedByteLength(type, sampleRows, sampleRowLength));
  const done = await run(engine, compiled, {
    source: 'F32',
    bytes: bytesOf(sampleValues()),
    rows: sampleRows,
    rowLength: sampleRowLength,
    importance,
    limits: { largestImportance: null },
    target,
  });
  const known = hasImportance ? knownDigests : knownDigestsWithoutImportance;
  const expected = known[type] ?? (await engineDigest(engine, type, importance));
  return done && digestOf(target) === expected ? compiled : null;
}

async function engineDigest(
  { native }: Engine,
  type: TensorType,
  importance: Float32Array | undefined,
): Promise<string> {
  const target = new Uint8Array(encodedByteLength(type, sampleRows, sampleRowLength));
  const { ggml_quantize_chunk: quantize } = native;
  const shape = [sampleRows, sampleRowLength] as const;
  await callAsync(quantize, ggmlTypes[type], sampleValues(), target, 0, ...shape, importance ?? null);
  return digestOf(target);
}

/** Null for a grid whose tables do not fit into their place: no grid of ggml. */
function tablesOf(engine: Engine, grid: GridName): CompiledKernel['tables'] {
  const { type, bytes: row } = rowOfGrid(grid);
  const { dimensions, size, address, capacity } = gridShapes[grid];
  const decoded = new Float32Array(dimensions * size);
  decoderOf(engine, type)(row, decoded, decoded.length);
  const bytes = gridTables(gridShapes[grid], gridCodes(grid, decoded));
  return bytes.byteLength <= capacity ? { address, bytes } : null;
}
