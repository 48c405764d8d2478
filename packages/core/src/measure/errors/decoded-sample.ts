/** @file In the engine: sampled rows as a scheme gives them back. */
import { isTensorType } from '@bitsmith/formats';
import { type Engine, requiresImportance } from '@bitsmith/ggml';
import { isOverflow } from '../../encode/encode-rows.js';
import type { TensorStatistics } from '../../encode/feedback/rounder.js';
import { throughScheme } from '../../encode/through-scheme.js';
import type { StorageType } from '../../plan/schemes.js';
import type { RowSample } from './row-samples.js';

/** Null where the scheme, or a scale of it, overflows on these weights: then it is no candidate for them. */
export async function decodedSample(
  engine: Engine,
  { values, rows, rowLength, importance }: RowSample,
  scheme: StorageType,
  statistics: TensorStatistics | null = null,
): Promise<Float32Array | null> {
  const decoded = new Float32Array(values.length);
  const needed = isTensorType(scheme) && requiresImportance(scheme);
  const vector = importance ?? (needed ? new Float32Array(rowLength).fill(1) : undefined);
  try {
    const request = { scheme, values, rows, rowLength, importance: vector, statistics };
    await throughScheme(engine, request, decoded);
  } catch (error) {
    if (isOverflow(error)) return null;
    throw error;
  }
  return decoded;
}
