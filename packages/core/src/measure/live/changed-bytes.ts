/** @file In the engine: the bytes of a whole tensor after a change, where the live model can read them. */
import { type ImportanceMatrix, isTensorType, tensorByteLength, type TensorType } from '@bitsmith/formats';
import { decodeRows, encodeRows } from '@bitsmith/ggml';
import { columnWeights, vectorOfRow } from '../../calibrate/column-weights.js';
import { EncoderLane, weightsFor } from '../../encode/encode-rows.js';
import { EncodedCache } from '../../encode/encoded-cache.js';
import { KEPT_FACTORS_BYTES, Rounder } from '../../encode/feedback/rounder.js';
import { cutIntoSlabs, type Slab } from '../../encode/slabs.js';
import { decodeParts, readParts } from '../../encode/learned/stored-parts.js';
import { throughScheme } from '../../encode/through-scheme.js';
import { nativeEngine } from '../../engine/session.js';
import type { EngineSettings } from '../../engine/task-type.js';
import type { StoredTensor, WeightFiles } from '../../model/weight-files.js';
import type { StorageType } from '../../plan/schemes.js';
import { inLanes } from '../../run/lanes.js';
import { BytePool } from './byte-pool.js';
import type { Change } from './change.js';
import { RowNoise } from './gaussian.js';
import type { RoundingParameters } from '../../gram/rounding.js';

/** Weights a lane works on at once. */
const SLAB_WEIGHTS = 1 << 19;

/** Types that hold edited values as fine as they are made; others get F32. */
const editable: ReadonlySet<TensorType> = new Set<TensorType>(['F32', 'F16', 'BF16']);

export interface ChangedTensor {
  readonly type: TensorType;
  readonly bytes: Uint8Array;
}

/** What changed bytes are made from. */
export interface ChangeSource {
  readonly files: WeightFiles;
  readonly importance: ImportanceMatrix;
  readonly settings: EngineSettings;
  readonly pool: BytePool;
  /** Their buffers serve every tensor. */
  readonly lanes: EncoderLane[];
  /** Encoded tensors that are wanted again. */
  readonly encoded: EncodedCache;
  readonly rounder: Rounder;
}

export function changeSource(
  files: WeightFiles,
  importance: ImportanceMatrix,
  settings: EngineSettings,
  encodedCache: EncodedCache = new EncodedCache(0),
  rounding: RoundingParameters | null = null,
): ChangeSource {
  const engine = nativeEngine(settings);
  const lanes = Array.from({ length: settings.threads }, () => new EncoderLane(engine, files));
  return {
    files,
    importance,
    settings,
    pool: new BytePool(),
    lanes,
    encoded: encodedCache,
    rounder: new Rounder(engine, rounding, KEPT_FACTORS_BYTES),
  };
}

export async function changedBytes(
  source: ChangeSource,
  name: string,
  change: Change,
): Promise<ChangedTensor> {
  const tensor = source.files.tensor(name);
  switch (change.kind) {
    case 'scheme':
      return encodedOnce(source, tensor, change.scheme);
    case 'encoded':
      return storedBytes(source, tensor, change);
    case 'noise':
      return withNoise(source, tensor, change.relative, change.seed);
    case 'zero':
      // A scale of zero in every type: bytes of zero are weights of zero.
      return { type: tensor.type, bytes: source.pool.take(tensor.byteLength).fill(0) };
    case 'without':
      return edited(source, tensor, (values, slab) => {
        for (const { row, column } of change.weights) {
          const at = row - slab.firstRow;
          if (at >= 0 && at < slab.rows) values[at * tensor.rowLength + column] = 0;
        }
      });
    default:
      return change satisfies never;
  }
}

/**
 * The tensor's bytes in the scheme, from the cache where they are kept: those never go to the pool. Where the engine does not know
 * the scheme, the weights that it decodes to stand in its place, as F32: no smaller float holds all of them.
 */
async function encodedOnce(
  source: ChangeSource,
  tensor: StoredTensor,
  scheme: StorageType,
): Promise<ChangedTensor> {
  const { encoded: cache, pool } = source;
  const type = isTensorType(scheme) ? scheme : 'F32';
  const encode = async (into: Uint8Array): Promise<ChangedTensor> => {
    if (isTensorType(scheme)) await encodeInto(source, tensor, scheme, into);
    else await decodeInto(source, tensor, scheme, into);
    return { type, bytes: into };
  };
  const byteLength = tensorByteLength(type, tensor.shape);
  if (!cache.takes(byteLength)) return encode(pool.take(byteLength));
  const kept = cache.get(tensor.name, scheme);
  if (kept !== undefined) return { type, bytes: kept };
  const made = await encode(cache.allocate(byteLength));
  cache.keep(tensor.name, scheme, made.bytes);
  return made;
}

/** What was encoded before, as it is where the engine knows the scheme, else as floats. */
async function storedBytes(
  { pool, settings }: ChangeSource,
  tensor: StoredTensor,
  { scheme, path, name }: Extract<Change, { readonly kind: 'encoded' }>,
): Promise<ChangedTensor> {
  const parts = await readParts(path, name);
  const type = isTensorType(scheme) ? scheme : 'F32';
  const bytes = pool.take(tensorByteLength(type, tensor.shape));
  if (isTensorType(scheme)) bytes.set(parts.data);
  else {
    const floats = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    await decodeParts(nativeEngine(settings), scheme, parts, tensor, floats);
  }
  return { type, bytes };
}

async function encodeInto(
  { importance, settings, lanes, rounder }: ChangeSource,
  tensor: StoredTensor,
  scheme: TensorType,
  bytes: Uint8Array,
): Promise<void> {
  const rowBytes = bytes.byteLength / tensor.rows;
  const weights = weightsFor(importance, tensor, scheme);
  const statistics = weights === null ? null : await rounder.statisticsOf(tensor.name);
  const share = Math.ceil((tensor.rows * tensor.rowLength) / settings.threads);
  await inLanes(settings.threads, slabsOf(tensor, Math.min(SLAB_WEIGHTS, share)), async (slab) => {
    const lane = lanes.pop() as EncoderLane;
    try {
      bytes.set(await lane.encode(tensor, slab, scheme, weights, statistics), slab.firstRow * rowBytes);
    } finally {
      lanes.push(lane);
    }
  });
}

/** The tensor's weights as the scheme gives them back, as floats. */
async function decodeInto(
  source: ChangeSource,
  tensor: StoredTensor,
  scheme: StorageType,
  bytes: Uint8Array,
): Promise<void> {
  const { threads } = source.settings;
  const engine = nativeEngine(source.settings);
  const { rowLength } = tensor;
  const floats = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const weights = columnWeights(source.importance, tensor);
  const statistics = await source.rounder.statisticsOf(tensor.name);
  const share = Math.ceil((tensor.rows * rowLength) / threads);
  await inLanes(threads, slabsOf(tensor, Math.min(SLAB_WEIGHTS, share)), async (slab) => {
    const { firstRow, rows } = slab;
    const values = await valuesOf(source, tensor, slab);
    const importance = vectorOfRow(weights, tensor, firstRow);
    const target = floats.subarray(firstRow * rowLength, (firstRow + rows) * rowLength);
    await throughScheme(engine, { scheme, values, rows, rowLength, importance, statistics }, target);
  });
}

/** The tensor with Gaussian noise, relative to the root mean square of its weights. */
async function withNoise(
  source: ChangeSource,
  tensor: StoredTensor,
  relative: number,
  seed: number,
): Promise<ChangedTensor> {
  const { name, rowLength, rows } = tensor;
  let squares = 0;
  for (const slab of slabsOf(tensor, SLAB_WEIGHTS)) {
    squares += sumOfSquares(await valuesOf(source, tensor, slab));
  }
  const scale = relative * Math.sqrt(squares / (rows * rowLength));
  const noise = new RowNoise(seed, name);
  return edited(source, tensor, (values, slab) => {
    for (let row = 0; row < slab.rows; row++) {
      noise.addTo(values.subarray(row * rowLength, (row + 1) * rowLength), slab.firstRow + row, scale);
    }
  });
}

/**
 * The tensor with its values edited, in its own type where that is a float: the model then computes with the kernel that it
 * computes with untouched, and the edit is all that differs. A quantized tensor becomes F32; its loss then holds what the stored
 * type's own kernel makes of activations as well.
 */
async function edited(
  source: ChangeSource,
  tensor: StoredTensor,
  edit: (values: Float32Array, slab: Slab) => void,
): Promise<ChangedTensor> {
  const engine = nativeEngine(source.settings);
  const type = editable.has(tensor.type) ? tensor.type : 'F32';
  const bytes = source.pool.take(tensorByteLength(type, tensor.shape));
  const rowBytes = bytes.byteLength / tensor.rows;
  for (const slab of slabsOf(tensor, SLAB_WEIGHTS)) {
    const values = await valuesOf(source, tensor, slab);
    edit(values, slab);
    const target = bytes.subarray(slab.firstRow * rowBytes, (slab.firstRow + slab.rows) * rowBytes);
    await encodeRows(engine, { type, values, rows: slab.rows, rowLength: tensor.rowLength }, target);
  }
  return { type, bytes };
}

async function valuesOf(
  { files, settings }: ChangeSource,
  { name, type, rowLength, rowBytes }: StoredTensor,
  { firstRow, rows }: Slab,
): Promise<Float32Array> {
  const bytes = new Uint8Array(rows * rowBytes);
  await files.readRows(name, firstRow, bytes);
  const values = new Float32Array(rows * rowLength);
  await decodeRows(nativeEngine(settings), { type, bytes, rows, rowLength }, values);
  return values;
}

function slabsOf(tensor: StoredTensor, slabWeights: number): Slab[] {
  return cutIntoSlabs({ ...tensor, rowsPerMatrix: tensor.shape[1] }, slabWeights);
}

function sumOfSquares(values: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i];
  return sum;
}
