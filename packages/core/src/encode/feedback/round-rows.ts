/**
 * @file Rows to codes with feedback, span by span: what the spans before got wrong moves the targets of a span, which is decided under its
 * own metric. In the end every row keeps what loses less on text that neither encoder saw: these codes, or the nearest ones.
 */
import {
  type AffineSpec,
  blockFormat,
  decodeAffine,
  encodeAffine,
  gridFormat,
  isTensorType,
  openAffine,
  type OpenAffine,
  tensorByteLength,
  tensorTypes,
  type TensorType,
} from '@bitsmith/formats';
import { computeOnce, decodeRows, type Engine, type GraphNode } from '@bitsmith/ggml';
import { affineSpec } from '../../plan/affine-schemes.js';
import type { StorageType } from '../../plan/schemes.js';
import { encodeRows } from '../encode-type.js';
import { gramRowErrors } from '../gram-errors.js';
import { ThreadPool } from '../thread-pool.js';
import type { RowNumbers } from './affine-cells.js';
import type { FactoredSpan } from './gram-factor.js';
import type { TensorStatistics } from './rounder.js';
import { type SlabMemory, withSlabMemory } from './slab-memory.js';
import { SPAN } from '../../gram/span.js';
import { storageOf } from './span-storage.js';
import type { SpanJob, SpanResult } from './span-worker.js';

export interface RoundRequest {
  readonly scheme: StorageType;
  /** `rows` x `rowLength`, row by row; all finite. */
  readonly values: Float32Array;
  readonly rows: number;
  readonly rowLength: number;
  /** One weight per column. */
  readonly importance: Float32Array;
}

/** What dW loses under the Gram matrix of text that no codes were chosen by, a row each. */
export interface RowLosses {
  readonly kept: Float32Array;
  readonly nearest: Float32Array;
}

/** Rows as a scheme stores them. */
export interface RoundedRows {
  /** Null for schemes that are no type of ggml's. */
  readonly bytes: Uint8Array | null;
  /** Of affine schemes, what is stored. */
  readonly affine: OpenAffine | null;
  readonly losses: RowLosses;
}

/** In the making. */
interface Rows {
  readonly values: Float32Array;
  readonly bytes: Uint8Array | null;
  readonly affine: OpenAffine | null;
}

const threads = new ThreadPool<SpanJob, SpanResult>('@bitsmith/core/span-worker');

/** Whether codes of a scheme can do better than the nearest: floats cannot, and those of IQ1_S, IQ1_M and TQ1_0 only between spans. */
export function canBeRounded(scheme: StorageType, { factor }: TensorStatistics): boolean {
  if (!isTensorType(scheme) || blockFormat(scheme) !== null || gridFormat(scheme) !== null) return true;
  return tensorTypes[scheme].blockSize > 1 && factor.spans.length > 1;
}

/**
 * @param target takes what the codes stand for
 * @throws BitsmithError as `encodeRows` of `@bitsmith/ggml` and `encodeAffine` of `@bitsmith/formats`
 */
export async function roundRows(
  engine: Engine,
  request: RoundRequest,
  statistics: TensorStatistics,
  target?: Float32Array,
): Promise<RoundedRows> {
  return withSlabMemory(async (memory) => {
    const { values, rows, rowLength } = request;
    const nearest = await nearestRows(engine, request, memory);
    const rounded = await withFeedback(engine, request, statistics, nearest, memory);
    const lossOf = (of: Rows) => gramRowErrors(engine, values, of.values, rows, rowLength, statistics.check);
    const losses = { nearest: await lossOf(nearest), kept: await lossOf(rounded) };
    keepBetter(nearest, rounded, losses);
    target?.set(rounded.values);
    return { bytes: rounded.bytes, affine: rounded.affine, losses };
  });
}

/** Rows that lose more than the nearest become these. */
function keepBetter(nearest: Rows, rounded: Rows, losses: RowLosses): void {
  const rows = losses.kept.length;
  for (let row = 0; row < rows; row++) {
    // Not a number where a step diverged.
    if (losses.kept[row] <= losses.nearest[row]) continue;
    losses.kept[row] = losses.nearest[row];
    copyRow(nearest.values, rounded.values, row, rows);
    if (nearest.bytes !== null && rounded.bytes !== null) copyRow(nearest.bytes, rounded.bytes, row, rows);
    if (nearest.affine !== null && rounded.affine !== null)
      for (const part of affineParts) copyRow(nearest.affine[part], rounded.affine[part], row, rows);
  }
}

const affineParts = ['codes', 'scales', 'zeros'] as const;

function copyRow<Array extends Float32Array | Uint8Array>(
  from: Array,
  to: Array,
  row: number,
  rows: number,
): void {
  const length = from.length / rows;
  to.set(from.subarray(row * length, (row + 1) * length), row * length);
}

interface NearestRows extends Rows {
  /** Of affine rows that are one group each. */
  readonly ofRows: RowNumbers | null;
}

async function nearestRows(
  engine: Engine,
  { scheme, values, rows, rowLength, importance }: RoundRequest,
  memory: SlabMemory,
): Promise<NearestRows> {
  const spec = affineSpec(scheme);
  if (spec === undefined) {
    const type = scheme as TensorType;
    const bytes = new Uint8Array(tensorByteLength(type, [rowLength, rows]));
    await encodeRows(engine, { type, values, rows, rowLength, importance }, bytes);
    const decoded = memory.nearest(values.length);
    await decodeRows(engine, { type, bytes, rows, rowLength }, decoded);
    return { values: decoded, bytes, affine: null, ofRows: null };
  }
  const tensor = encodeAffine({ values, rows, rowLength, importance }, spec);
  const affine = openAffine(tensor);
  const ofRows =
    spec.groupSize === 'row'
      ? { scales: Float64Array.from(affine.scales), zeros: Float64Array.from(affine.zeros) }
      : null;
  return { values: decodeAffine(tensor), bytes: null, affine, ofRows };
}

async function withFeedback(
  engine: Engine,
  { scheme, values, rows, rowLength }: RoundRequest,
  { factor, rounding }: TensorStatistics,
  nearest: NearestRows,
  memory: SlabMemory,
): Promise<Rows> {
  const result = {
    values: memory.kept(values.length),
    bytes: nearest.bytes?.slice() ?? null,
    affine: nearest.affine === null ? null : copyOf(nearest.affine),
  };
  // A product of one row is summed in another order than one of several.
  const padded = Math.max(2, rows);
  const errors = memory.errors(padded * rowLength);
  const spec = affineSpec(scheme);
  for (const span of factor.spans) {
    const { metric, first } = span;
    const { size } = metric;
    // Errors of the span, once it is decided.
    const targets = errors.subarray(first * padded, (first + size) * padded);
    const moved = memory.moved(padded).subarray(0, size * padded);
    if (rounding.feedback) await pullErrors(engine, span, errors, padded, moved);
    const moves = rounding.feedback && span.pull !== null ? moved : null;
    setTargets(targets, values, moves, { rows, rowLength, first, size });
    const place = { values: result.values, rowLength, first };
    const begun = await storageOf(
      engine,
      scheme,
      targets.subarray(0, rows * size),
      rows,
      span,
      nearest.ofRows,
      memory,
    );
    if (begun.kind === 'codebook') setDecided(place, begun.values, targets, rows);
    else {
      const solved = await threads.run({ metric, rounding, rows, targets, place, storage: begun }, []);
      if (spec !== undefined && result.affine !== null && solved.affine !== null)
        setSpan(result.affine, solved.affine, spec, rows, first);
    }
    if (result.bytes !== null && begun.kind !== 'affine')
      setColumns(result.bytes, begun.bytes, rows, tensorByteLength(scheme as TensorType, [first]));
  }
  return result;
}

interface SpanPlace {
  readonly rows: number;
  readonly rowLength: number;
  readonly first: number;
  readonly size: number;
}

/** Weights of a span, moved by what the spans before it got wrong. */
function setTargets(
  targets: Float32Array,
  values: Float32Array,
  moved: Float32Array | null,
  { rows, rowLength, first, size }: SpanPlace,
): void {
  for (let row = 0; row < rows; row++) {
    const at = row * rowLength + first;
    targets.set(values.subarray(at, at + size), row * size);
  }
  // Of the row that only makes two of one.
  targets.fill(0, rows * size);
  if (moved !== null) for (let i = 0; i < rows * size; i++) targets[i] += moved[i];
}

/** Takes over what codes stand for, and leaves what they got wrong. */
function setDecided(
  { values, rowLength, first }: SpanJob['place'],
  decided: Float32Array,
  targets: Float32Array,
  rows: number,
): void {
  const size = decided.length / rows;
  for (let row = 0; row < rows; row++)
    values.set(decided.subarray(row * size, (row + 1) * size), row * rowLength + first);
  for (let i = 0; i < decided.length; i++) targets[i] -= decided[i];
}

function copyOf({ codes, scales, zeros }: OpenAffine): OpenAffine {
  return { codes: codes.slice(), scales: scales.slice(), zeros: zeros.slice() };
}

/** Puts what a span stores, from column `first` on, into whole rows. */
function setSpan(
  target: OpenAffine,
  span: OpenAffine,
  { groupSize }: AffineSpec,
  rows: number,
  first: number,
): void {
  setColumns(target.codes, span.codes, rows, first);
  const group = groupSize === 'row' ? 0 : first / groupSize;
  setColumns(target.scales, span.scales, rows, group);
  setColumns(target.zeros, span.zeros, rows, group);
}

/** What the spans before this one got wrong, times what it takes over of that: (t - w) U. */
async function pullErrors(
  engine: Engine,
  { first, metric: { size }, pull }: FactoredSpan,
  errors: Float32Array,
  rows: number,
  moved: Float32Array,
): Promise<void> {
  if (pull === null) return;
  await computeOnce(engine, 8 * (1 + first / SPAN), (graph) => {
    let sum: GraphNode | null = null;
    for (let start = 0; start < first; start += SPAN) {
      const block = graph.leaf(pull.subarray(start * size, (start + SPAN) * size), SPAN, size);
      const wrong = graph.leaf(errors.subarray(start * rows, (start + SPAN) * rows), SPAN, rows);
      const part = graph.multiply(block, wrong);
      sum = sum === null ? part : graph.add(sum, part);
    }
    graph.store(sum as GraphNode, moved);
  });
}

/** Puts rows of a span at `first` of the whole rows. */
function setColumns<Array extends Float32Array | Uint8Array>(
  target: Array,
  columns: Array,
  rows: number,
  first: number,
): void {
  const [size, rowLength] = [columns.length / rows, target.length / rows];
  for (let row = 0; row < rows; row++)
    target.set(columns.subarray(row * size, (row + 1) * size), row * rowLength + first);
}
