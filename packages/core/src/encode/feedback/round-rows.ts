/**
 * @file Rows to codes with feedback, span by span: each span is decided under its own metric, and what it gets wrong moves the targets
 * of the spans behind it. In the end every row keeps what loses less on text that neither encoder saw: these codes, or the
 * nearest ones.
 */
import {
  type AffineSpec,
  blockFormat,
  decodeAffine,
  encodeAffine,
  isTensorType,
  openAffine,
  type OpenAffine,
  tensorByteLength,
  tensorTypes,
  type TensorType,
} from '@bitsmith/formats';
import { ComputeGraph, decodeRows, type Engine } from '@bitsmith/ggml';
import { affineSpec } from '../../plan/affine-schemes.js';
import type { StorageType } from '../../plan/schemes.js';
import { encodeRows } from '../encode-type.js';
import { gramRowErrors } from '../gram-errors.js';
import { ThreadPool } from '../thread-pool.js';
import type { RowNumbers } from './affine-cells.js';
import type { FactoredSpan } from './gram-factor.js';
import type { TensorStatistics } from './rounder.js';
import { diagonalOf } from './span-metric.js';
import type { SpanJob, SpanResult, SpanStorage } from './span-worker.js';

export interface RoundRequest {
  readonly scheme: StorageType;
  /** `rows` x `rowLength`, row by row; all finite. */
  readonly values: Float32Array;
  readonly rows: number;
  readonly rowLength: number;
  /** One weight per column. */
  readonly importance: Float32Array;
}

/** Rows as a scheme stores them, and what they decode to. */
export interface RoundedRows {
  readonly values: Float32Array;
  /** Null for schemes that are no type of ggml's. */
  readonly bytes: Uint8Array | null;
  /** Of affine schemes, what is stored. */
  readonly affine: OpenAffine | null;
}

/** What dW loses under the Gram matrix of text that no codes were chosen by, a row each. */
export interface RowLosses {
  readonly kept: Float32Array;
  readonly nearest: Float32Array;
}

export interface CheckedRows extends RoundedRows {
  readonly losses: RowLosses;
}

const threads = new ThreadPool<SpanJob, SpanResult>('@bitsmith/core/span-worker');

/** Whether codes of a scheme can do better than the nearest: floats cannot, and those of codebooks only between spans. */
export function canBeRounded(scheme: StorageType, { factor }: TensorStatistics): boolean {
  if (!isTensorType(scheme) || blockFormat(scheme) !== null) return true;
  return tensorTypes[scheme].blockSize > 1 && factor.spans.length > 1;
}

/** @throws BitsmithError as `encodeRows` of `@bitsmith/ggml` and `encodeAffine` of `@bitsmith/formats` */
export async function roundRows(
  engine: Engine,
  request: RoundRequest,
  statistics: TensorStatistics,
): Promise<CheckedRows> {
  const { values, rows, rowLength } = request;
  const nearest = await nearestRows(engine, request);
  const rounded = await withFeedback(engine, request, statistics, nearest);
  const { check } = statistics;
  const lossOf = (of: Float32Array) => gramRowErrors(engine, values, of, rows, rowLength, check);
  const [before, after] = [await lossOf(nearest.values), await lossOf(rounded.values)];
  for (let row = 0; row < rows; row++) {
    // Not a number where a step diverged.
    if (after[row] <= before[row]) continue;
    after[row] = before[row];
    copyRow(nearest.values, rounded.values, row, rows);
    if (nearest.bytes !== null && rounded.bytes !== null) copyRow(nearest.bytes, rounded.bytes, row, rows);
    if (nearest.affine !== null && rounded.affine !== null)
      for (const part of affineParts) copyRow(nearest.affine[part], rounded.affine[part], row, rows);
  }
  return { ...rounded, losses: { kept: after, nearest: before } };
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

interface NearestRows extends RoundedRows {
  /** Of affine rows that are one group each. */
  readonly ofRows: RowNumbers | null;
}

async function nearestRows(
  engine: Engine,
  { scheme, values, rows, rowLength, importance }: RoundRequest,
): Promise<NearestRows> {
  const spec = affineSpec(scheme);
  if (spec === undefined) {
    const encoded = await encodedRows(engine, scheme as TensorType, values, rows, rowLength, importance);
    return { ...encoded, ofRows: null };
  }
  const tensor = encodeAffine({ values, rows, rowLength, importance }, spec);
  const affine = openAffine(tensor);
  const ofRows =
    spec.groupSize === 'row'
      ? { scales: Float64Array.from(affine.scales), zeros: Float64Array.from(affine.zeros) }
      : null;
  return { values: decodeAffine(tensor), bytes: null, affine, ofRows };
}

async function encodedRows(
  engine: Engine,
  type: TensorType,
  values: Float32Array,
  rows: number,
  rowLength: number,
  importance: Float32Array,
): Promise<RoundedRows & { readonly bytes: Uint8Array }> {
  const bytes = new Uint8Array(tensorByteLength(type, [rowLength, rows]));
  await encodeRows(engine, { type, values, rows, rowLength, importance }, bytes);
  const decoded = new Float32Array(values.length);
  await decodeRows(engine, { type, bytes, rows, rowLength }, decoded);
  return { values: decoded, bytes, affine: null };
}

async function withFeedback(
  engine: Engine,
  { scheme, values, rows, rowLength }: RoundRequest,
  { factor, rounding }: TensorStatistics,
  nearest: NearestRows,
): Promise<RoundedRows> {
  const targets = values.slice();
  const result = {
    values: new Float32Array(values.length),
    bytes: nearest.bytes?.slice() ?? null,
    affine: nearest.affine === null ? null : copyOf(nearest.affine),
  };
  for (const span of factor.spans) {
    const { metric, first } = span;
    const wanted = columnsOf(targets, rows, rowLength, first, metric.size);
    const storage = await storageOf(engine, scheme, wanted, rows, span, nearest);
    const solved = await solvedSpan({ metric, rounding, rows, targets: wanted.slice(), storage });
    setColumns(result.values, solved.values, rows, first);
    if (result.bytes !== null && solved.bytes !== null) {
      const at = first === 0 ? 0 : tensorByteLength(scheme as TensorType, [first]);
      setColumns(result.bytes, solved.bytes, rows, at);
    }
    const spec = affineSpec(scheme);
    if (spec !== undefined && result.affine !== null && solved.affine !== null)
      setSpan(result.affine, solved.affine, spec, rows, first);
    if (rounding.feedback && span.push !== null)
      await pushErrors(engine, span, wanted, solved.values, targets, rows);
  }
  return result;
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

/** What a span begins with. Codes of codebooks are chosen by the engine for the moved targets, and stay. */
async function storageOf(
  engine: Engine,
  scheme: StorageType,
  wanted: Float32Array,
  rows: number,
  { metric }: FactoredSpan,
  { ofRows }: NearestRows,
): Promise<SpanStorage | RoundedRows> {
  const spec = affineSpec(scheme);
  if (spec !== undefined) return { kind: 'affine', spec, ofRows };
  const type = scheme as TensorType;
  const begun = await encodedRows(engine, type, wanted, rows, metric.size, diagonalOf(metric));
  return blockFormat(type) === null ? begun : { kind: 'blocks', type, bytes: begun.bytes };
}

async function solvedSpan(
  job: Omit<SpanJob, 'storage'> & { readonly storage: SpanStorage | RoundedRows },
): Promise<RoundedRows> {
  const { storage } = job;
  if (!('kind' in storage)) return storage;
  return threads.run({ ...job, storage }, [job.targets.buffer as ArrayBuffer]);
}

/** Targets behind the span take over what it got wrong: T += (t - w) U. */
async function pushErrors(
  engine: Engine,
  { first, metric: { size }, push }: FactoredSpan,
  wanted: Float32Array,
  solved: Float32Array,
  targets: Float32Array,
  rows: number,
): Promise<void> {
  if (push === null) return;
  const behind = push.length / size;
  // A product of one row is summed in another order than one of several.
  const padded = Math.max(2, rows);
  const errors = new Float32Array(padded * size);
  for (let i = 0; i < wanted.length; i++) errors[i] = wanted[i] - solved[i];
  const moved = new Float32Array(padded * behind);
  const graph = new ComputeGraph(engine, 16);
  try {
    graph.store(graph.multiply(graph.leaf(push, size, behind), graph.leaf(errors, size, padded)), moved);
    await graph.compute();
  } finally {
    graph.dispose();
  }
  const rowLength = targets.length / rows;
  for (let row = 0; row < rows; row++) {
    const at = row * rowLength + first + size;
    for (let j = 0; j < behind; j++) targets[at + j] += moved[row * behind + j];
  }
}

function columnsOf(
  values: Float32Array,
  rows: number,
  rowLength: number,
  first: number,
  size: number,
): Float32Array {
  const columns = new Float32Array(rows * size);
  for (let row = 0; row < rows; row++)
    columns.set(values.subarray(row * rowLength + first, row * rowLength + first + size), row * size);
  return columns;
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
