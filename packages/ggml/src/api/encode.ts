/**
 * @file Weights to codes and back, by the engine's own kernels: the bytes are those that llama.cpp's quantizer writes. Work
 * is cut into slabs of whole rows; rows are independent, so slabs may run side by side without changing a byte.
 */
import { BitsmithError, type TensorType } from '@bitsmith/formats';
import { callAsync } from '../binding/async.js';
import { ggmlTypes } from '../binding/layout.js';
import type { LaneSource } from '../kernels/decode.js';
import type { LaneRequest } from '../kernels/lane.js';
import { prepareEngineCodebooks } from './codebooks.js';
import { decoderOf } from './decoder.js';
import type { Engine } from './engine.js';
import {
  importanceLimits,
  ImportanceScaler,
  isSearched,
  largestMagnitude,
  largestSearchedWeight,
} from './importance-scale.js';
import { bytesOf, encodeByKernel } from './kernel-encoder.js';
import { assertCount, assertImportance, assertLength, encodedByteLength, misuse } from './validate.js';

export interface EncodeRequest {
  readonly type: TensorType;
  /** `rows` x `rowLength`, row by row; all finite. */
  readonly values: Float32Array;
  readonly rows: number;
  readonly rowLength: number;
  /** One weight per column: finite, not negative, not all zero. */
  readonly importance?: Float32Array;
}

export interface DecodeRequest {
  readonly type: TensorType;
  readonly bytes: Uint8Array;
  readonly rows: number;
  readonly rowLength: number;
}

export interface EncodeOptions {
  signal?: AbortSignal;
  /** Native calls at once within this request; 1 unless told. */
  lanes?: number;
}

/** Weights in one native call: short enough to stop soon after an abort, long enough to hide the call's cost. */
const slabWeights = 1 << 18;

/**
 * Encodes rows. `target` receives exactly the bytes that llama.cpp's quantizer would write for them.
 * @throws BitsmithError `ROW_NOT_BLOCKS`, `BUFFER_SIZE`, `TENSOR_TYPE`, `VALUES_NOT_FINITE`, `IMPORTANCE_REQUIRED`,
 *   `IMPORTANCE_INVALID`, `IMPORTANCE_ZERO`, `VALUES_TOO_LARGE`, `ENCODED_NOT_FINITE`
 */
export async function encodeRows(
  engine: Engine,
  request: EncodeRequest,
  target: Uint8Array,
  { signal, lanes = 1 }: EncodeOptions = {},
): Promise<void> {
  signal?.throwIfAborted();
  const { type, values, rows, rowLength, importance } = request;
  const byteLength = encodedByteLength(type, rows, rowLength);
  assertLength('values', 'weights', values.length, rows * rowLength);
  assertLength(`target for ${type}`, 'bytes', target.byteLength, byteLength);
  assertImportance(type, importance, rowLength);
  const scaler = importance === undefined ? undefined : new ImportanceScaler(importance);
  await inSlabs(rows, rowLength, lanes, signal, async (first, count) => {
    const slab: Slab = {
      type,
      values: values.subarray(first * rowLength, (first + count) * rowLength),
      target: target.subarray((first * byteLength) / rows, ((first + count) * byteLength) / rows),
      firstRow: first,
      rows: count,
      rowLength,
    };
    await assertEncodable(engine, slab);
    const suited = isSearched(type) ? largestWeight(slab) : undefined;
    await encodeSlab(engine, slab, suited === undefined ? importance : scaler?.for(suited));
  });
}

/** Whole rows of one request, encoded by one native call. */
interface Slab {
  readonly type: TensorType;
  readonly values: Float32Array;
  readonly target: Uint8Array;
  readonly firstRow: number;
  readonly rows: number;
  readonly rowLength: number;
}

async function assertEncodable({ native }: Engine, { values, firstRow, rowLength }: Slab): Promise<void> {
  if (await callAsync(native.ggml_validate_row_data, ggmlTypes.F32, values, values.byteLength)) return;
  const at = values.findIndex((value) => !Number.isFinite(value));
  throw misuse(
    'VALUES_NOT_FINITE',
    'finite weights',
    `${values[at]} at row ${firstRow + Math.floor(at / rowLength)}, column ${at % rowLength}`,
    'The source model is damaged or overflowed in training: get another copy.',
  );
}

/** The largest magnitude in a slab whose scales are searched. */
function largestWeight({ type, values, firstRow, rows }: Slab): number {
  const largest = largestMagnitude(values);
  if (largest <= largestSearchedWeight) return largest;
  throw misuse(
    'VALUES_TOO_LARGE',
    `weights of at most ${largestSearchedWeight} in magnitude for ${type}`,
    `${largest} in rows ${firstRow} to ${firstRow + rows - 1}`,
    'Keep this tensor in F32 or BF16.',
  );
}

async function encodeSlab(
  engine: Engine,
  { type, values, target, firstRow, rows, rowLength }: Slab,
  importance: Float32Array | undefined,
): Promise<void> {
  const { native } = engine;
  const id = ggmlTypes[type];
  const bytes = bytesOf(values);
  const limits = { largestImportance: null };
  const request: LaneRequest = { source: 'F32', bytes, rows, rowLength, importance, limits, target };
  if (!(await encodeByKernel(engine, type, request))) {
    await prepareEngineCodebooks(engine, type);
    await callAsync(native.ggml_quantize_chunk, id, values, target, 0, rows, rowLength, importance ?? null);
  }
  if (await callAsync(native.ggml_validate_row_data, id, target, target.byteLength)) return;
  throw overflow(type, firstRow, rows);
}

function overflow(type: TensorType, firstRow: number, rows: number): BitsmithError {
  return new BitsmithError(
    'validation',
    'ENCODED_NOT_FINITE',
    `expected ${type} to hold rows ${firstRow} to ${firstRow + rows - 1}, but a scale overflows to infinity`,
    { suggestion: `Keep this tensor in F32 or BF16: its weights are too large for ${type}.` },
  );
}

export interface StoredRequest {
  readonly type: TensorType;
  /** `rows` x `rowLength` floats as a file stores them. */
  readonly stored: { readonly type: TensorType; readonly bytes: Uint8Array };
  readonly rows: number;
  readonly rowLength: number;
  readonly importance?: Float32Array;
}

const laneSources: ReadonlySet<TensorType> = new Set<LaneSource>(['F32', 'F16', 'BF16']);

/**
 * Encodes rows as they are stored, without floats on the way, where a kernel can: a type that has one, stored floats that are
 * all finite, importance and weights of common magnitudes.
 * @returns false where it cannot; `decodeRows` and `encodeRows` can, or say why not. `target` is then as it was.
 * @throws BitsmithError `ROW_NOT_BLOCKS`, `BUFFER_SIZE`, `TENSOR_TYPE`, `IMPORTANCE_REQUIRED`, `IMPORTANCE_INVALID`,
 *   `IMPORTANCE_ZERO`, `ENCODED_NOT_FINITE`
 */
export async function encodeStoredRows(
  engine: Engine,
  { type, stored, rows, rowLength, importance }: StoredRequest,
  target: Uint8Array,
  { signal }: { signal?: AbortSignal } = {},
): Promise<boolean> {
  signal?.throwIfAborted();
  const byteLength = encodedByteLength(type, rows, rowLength);
  const storedLength = encodedByteLength(stored.type, rows, rowLength);
  assertLength(`${stored.type} rows`, 'bytes', stored.bytes.byteLength, storedLength);
  assertLength(`target for ${type}`, 'bytes', target.byteLength, byteLength);
  assertImportance(type, importance, rowLength);
  // Without importance, whether a search may take the weights is left to `encodeRows`.
  if (!laneSources.has(stored.type) || (importance === undefined && isSearched(type))) return false;
  const done = await encodeByKernel(engine, type, {
    source: stored.type as LaneSource,
    bytes: stored.bytes,
    rows,
    rowLength,
    importance,
    limits: importanceLimits(type, importance),
    target,
  });
  // On this thread: reading the scales takes less time than changing threads.
  if (!done || engine.native.ggml_validate_row_data(ggmlTypes[type], target, target.byteLength)) return done;
  throw overflow(type, 0, rows);
}

/**
 * Decodes rows of any weight type to float32.
 * @throws BitsmithError `ROW_NOT_BLOCKS`, `BUFFER_SIZE`, `TENSOR_TYPE`
 */
export async function decodeRows(
  engine: Engine,
  { type, bytes, rows, rowLength }: DecodeRequest,
  target: Float32Array,
  { signal, lanes = 1 }: EncodeOptions = {},
): Promise<void> {
  signal?.throwIfAborted();
  const byteLength = encodedByteLength(type, rows, rowLength);
  assertLength(`${type} rows`, 'bytes', bytes.byteLength, byteLength);
  assertLength('target', 'weights', target.length, rows * rowLength);
  if (type === 'F32') {
    new Uint8Array(target.buffer, target.byteOffset, target.byteLength).set(bytes);
    return;
  }
  const decoder = decoderOf(engine, type);
  const rowBytes = byteLength / rows;
  await inSlabs(rows, rowLength, lanes, signal, async (first, count) => {
    await callAsync(
      decoder,
      bytes.subarray(first * rowBytes, (first + count) * rowBytes),
      target.subarray(first * rowLength, (first + count) * rowLength),
      count * rowLength,
    );
  });
}

/** Runs `work` over slabs of whole rows, `lanes` at a time; stops between slabs when aborted. */
async function inSlabs(
  rows: number,
  rowLength: number,
  lanes: number,
  signal: AbortSignal | undefined,
  work: (firstRow: number, rows: number) => Promise<void>,
): Promise<void> {
  assertCount('lanes', lanes, 1, 256);
  const slabRows = Math.max(1, Math.floor(slabWeights / rowLength));
  let next = 0;
  let failed = false;
  const lane = async (): Promise<void> => {
    while (next < rows && !failed) {
      signal?.throwIfAborted();
      const first = next;
      next = Math.min(rows, first + slabRows);
      try {
        await work(first, next - first);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const used = Math.min(lanes, Math.ceil(rows / slabRows));
  const outcomes = await Promise.allSettled(Array.from({ length: used }, lane));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}
