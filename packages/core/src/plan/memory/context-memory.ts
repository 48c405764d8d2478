/**
 * @file What running a model takes besides its weights: keys and values of every token (or the states that stand for them), the
 * buffer that graphs are computed in, and the logits. The engine says how many cells it would keep in how many layers and how
 * large its buffers would be; what a cell takes follows from the metadata, exactly, and is held against what the engine said.
 */
import { type GgufMetadata, tensorByteLength, type TensorType, tensorTypes } from '@bitsmith/formats';

/** What the engine reckoned for one cache: `bytes` to 0.01 MiB. */
export interface ReckonedCache {
  readonly cells: number;
  readonly layers: number;
  readonly bytes: number;
}

export interface ReckonedContext {
  /** As many as were asked for, rounded up to the engine's steps. */
  readonly contextTokens: number;
  readonly caches: readonly ReckonedCache[];
  readonly computeBytes: number;
  readonly outputBytes: number;
}

/** Bytes of memory besides the weights, none of them below what the engine takes. */
export interface ContextMemory {
  readonly contextTokens: number;
  readonly keyValueType: TensorType;
  readonly cacheBytes: number;
  readonly computeBytes: number;
  readonly outputBytes: number;
  readonly totalBytes: number;
}

const MEBIBYTE = 2 ** 20;
/** Half of the last digit that the engine prints. */
const ROUNDING = 0.005 * MEBIBYTE;
/** The engine sums sizes in floats before it prints them. */
const FLOAT_EPSILON = 2 ** -23;

/** @param reckoned by the engine; its buffers are taken at the most that they can be */
export function contextMemory(
  metadata: GgufMetadata,
  keyValueType: TensorType,
  reckoned: ReckonedContext,
): ContextMemory {
  const widths = layerWidths(metadata);
  const cacheBytes = reckoned.caches.reduce(
    (sum, cache) => sum + (exactBytes(widths, keyValueType, cache) ?? upTo(cache.bytes)),
    0,
  );
  const computeBytes = upTo(reckoned.computeBytes);
  const outputBytes = upTo(reckoned.outputBytes);
  return {
    contextTokens: reckoned.contextTokens,
    keyValueType,
    cacheBytes,
    computeBytes,
    outputBytes,
    totalBytes: cacheBytes + computeBytes + outputBytes,
  };
}

/** The most that a printed size can stand for. */
function upTo(bytes: number): number {
  return Math.ceil(bytes + ROUNDING + bytes * FLOAT_EPSILON);
}

/** Numbers that keys and values of one token have in a layer. */
interface LayerWidths {
  readonly keys: number;
  readonly values: number;
}

/** Null where none of the widths explains what the engine said: caches of another build are taken as they were printed. */
function exactBytes(
  widths: readonly (readonly LayerWidths[])[],
  type: TensorType,
  { cells, layers, bytes }: ReckonedCache,
): number | null {
  for (const perLayer of widths) {
    const whole = perLayer.every(({ keys, values }) => isWhole(type, keys, values));
    if (!whole) continue;
    const exact = cells * cellBytes(perLayer.length === 1 ? repeat(perLayer[0], layers) : perLayer, type);
    if (Math.abs(exact - bytes) <= ROUNDING + exact * FLOAT_EPSILON) return exact;
  }
  return null;
}

/** A type of blocks stores whole ones. */
function isWhole(type: TensorType, ...lengths: readonly number[]): boolean {
  return lengths.every((length) => length % tensorTypes[type].blockSize === 0);
}

function repeat(widths: LayerWidths, layers: number): LayerWidths[] {
  return Array.from({ length: layers }, () => widths);
}

function cellBytes(layers: readonly LayerWidths[], type: TensorType): number {
  return layers.reduce(
    (sum, { keys, values }) => sum + tensorByteLength(type, [keys]) + tensorByteLength(type, [values]),
    0,
  );
}

/** What layers may have by the metadata: all alike (one entry), or a list; those with a window may have a width of their own. */
function layerWidths(metadata: GgufMetadata): (readonly LayerWidths[])[] {
  const architecture = metadata.get('general.architecture')?.value;
  const numbers = (key: string): number[] | null => {
    const value = metadata.get(`${String(architecture)}.${key}`)?.value;
    if (typeof value === 'number' || typeof value === 'bigint') return [Number(value)];
    const list = Array.isArray(value) || ArrayBuffer.isView(value) ? [...(value as Iterable<unknown>)] : [];
    return list.length > 0 && list.every((each) => typeof each === 'number') ? list : null;
  };
  const heads = numbers('attention.head_count');
  const keyValueHeads = numbers('attention.head_count_kv') ?? heads;
  const width = numbers('embedding_length');
  if (heads === null || keyValueHeads === null || width === null) return [];
  const ofHead = width[0] / heads[0];
  return ['', '_swa'].flatMap((suffix) => {
    const keys = numbers(`attention.key_length${suffix}`) ?? (suffix === '' ? [ofHead] : null);
    const values = numbers(`attention.value_length${suffix}`) ?? (suffix === '' ? [ofHead] : null);
    if (keys === null || values === null) return [];
    return [keyValueHeads.map((count) => ({ keys: count * keys[0], values: count * values[0] }))];
  });
}
