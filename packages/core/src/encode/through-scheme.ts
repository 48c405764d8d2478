/**
 * @file In the engine: weights as a scheme gives them back, decoded from the very codes that it would store. Schemes of GGUF are the
 * engine's; affine codes are made on threads of this process, with their ranges searched, by importance where there is one.
 */
import { isTensorType, tensorByteLength, type TensorType } from '@bitsmith/formats';
import { decodeRows, type Engine, prepareCodebooks } from '@bitsmith/ggml';
import { affineSpec } from '../plan/affine-schemes.js';
import type { StorageType } from '../plan/schemes.js';
import { throughAffine } from './affine-lanes.js';
import { encodeRows } from './encode-type.js';
import { canBeRounded, roundRows } from './feedback/round-rows.js';
import type { TensorStatistics } from './feedback/rounder.js';

export interface SchemeRequest {
  readonly scheme: StorageType;
  /** `rows` x `rowLength`, row by row; all finite. */
  readonly values: Float32Array;
  readonly rows: number;
  readonly rowLength: number;
  /** One weight per column. */
  readonly importance?: Float32Array;
  /** What codes are chosen by beyond it; absent or null: they are the nearest. */
  readonly statistics?: TensorStatistics | null;
}

/**
 * Fills `target` with the rows as the scheme gives them back.
 * @throws BitsmithError as `encodeRows` of `@bitsmith/ggml` and `encodeAffine` of `@bitsmith/formats`
 */
export async function throughScheme(
  engine: Engine,
  { scheme, values, rows, rowLength, importance, statistics = null }: SchemeRequest,
  target: Float32Array,
): Promise<void> {
  if (statistics !== null && importance !== undefined && canBeRounded(scheme, statistics)) {
    const request = { scheme, values, rows, rowLength, importance };
    await roundRows(engine, request, statistics, target);
    return;
  }
  const spec = affineSpec(scheme);
  if (spec !== undefined) {
    const weights = importance ?? new Float32Array(rowLength).fill(1);
    return throughAffine({ values, rows, rowLength, importance: weights }, spec, target);
  }
  const type = scheme as TensorType;
  const bytes = new Uint8Array(tensorByteLength(type, [rowLength, rows]));
  await encodeRows(engine, { type, values, rows, rowLength, importance }, bytes);
  await decodeRows(engine, { type, bytes, rows, rowLength }, target);
}

/** Builds the codebooks of all schemes side by side: one by one they would leave the other cores waiting. */
export async function prepareSchemes(engine: Engine, schemes: Iterable<StorageType>): Promise<void> {
  const types = [...new Set(schemes)].filter(isTensorType);
  await Promise.all(types.map((type) => prepareCodebooks(engine, type)));
}
