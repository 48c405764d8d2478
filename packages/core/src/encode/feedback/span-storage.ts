/** @file What a span begins with: ggml's own codes of the weights as spans before it moved them, opened as its scheme can be solved. */
import { blockFormat, gridFormat, tensorByteLength, type TensorType } from '@bitsmith/formats';
import { decodeRows, type Engine } from '@bitsmith/ggml';
import { affineSpec } from '../../plan/affine-schemes.js';
import type { StorageType } from '../../plan/schemes.js';
import { encodeRows } from '../encode-type.js';
import type { RowNumbers } from './affine-cells.js';
import { eightsMetric } from './eights-metric.js';
import type { FactoredSpan } from './gram-factor.js';
import { gridPoints } from './grid-points.js';
import type { SlabMemory } from './slab-memory.js';
import { diagonalOf } from './span-metric.js';
import type { SpanStorage } from './span-worker.js';

/** Codes of IQ1_S, IQ1_M and TQ1_0, which are chosen for the moved targets, and which stay. */
interface CodebookSpan {
  readonly kind: 'codebook';
  readonly bytes: Uint8Array;
  readonly values: Float32Array;
}

/**
 * @param targets `rows` x span
 * @param ofRows of affine rows that are one group each: their numbers
 */
export async function storageOf(
  engine: Engine,
  scheme: StorageType,
  targets: Float32Array,
  rows: number,
  { metric }: FactoredSpan,
  ofRows: RowNumbers | null,
  memory: SlabMemory,
): Promise<SpanStorage | CodebookSpan> {
  const spec = affineSpec(scheme);
  if (spec !== undefined) return { kind: 'affine', spec, ofRows };
  const type = scheme as TensorType;
  const { size } = metric;
  const bytes = memory.codes(tensorByteLength(type, [size, rows]));
  const request = { type, values: targets, rows, rowLength: size, importance: diagonalOf(metric) };
  await encodeRows(engine, request, bytes);
  if (blockFormat(type) !== null) return { kind: 'blocks', type, bytes };
  const grid = gridFormat(type);
  if (grid !== null) {
    const points = await gridPoints(engine, type, grid);
    return { kind: 'grid', type, bytes, points, eights: eightsMetric(metric) };
  }
  const decoded = memory.moved(rows).subarray(0, size * rows);
  await decodeRows(engine, { type, bytes, rows, rowLength: size }, decoded);
  return { kind: 'codebook', bytes, values: decoded };
}
