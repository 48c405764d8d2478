/** @file A thread that solves spans: many rows under one metric, each by itself. */
import { parentPort } from 'node:worker_threads';
import {
  type AffineSpec,
  type AffineTensor,
  blockFormat,
  encodeAffine,
  gridFormat,
  openAffine,
  type OpenAffine,
  serializeError,
  type TensorType,
} from '@bitsmith/formats';
import type { Answer } from '../thread-pool.js';
import { AffineCells, type RowNumbers } from './affine-cells.js';
import { BlockCells } from './block-cells.js';
import { Codebook } from './codebook.js';
import { CodebookCells } from './codebook-cells.js';
import { CodebookSolver } from './codebook-solver.js';
import type { EightsMetric } from './eights-metric.js';
import { SpanMemory } from './span-memory.js';
import { diagonalOf, type SpanMetric } from './span-metric.js';
import { ROWS_AT_ONCE } from './span-places.js';
import { SpanSolvers } from './span-solvers.js';
import type { Rounding } from '../../gram/rounding.js';

/** What the rows of a span are to be stored in. */
export type SpanStorage =
  /** A linear type of ggml's, with the nearest codes to begin with. */
  | { readonly kind: 'blocks'; readonly type: TensorType; readonly bytes: Uint8Array }
  /** A type with a grid, its points, and the metric that eights are decided by. */
  | {
      readonly kind: 'grid';
      readonly type: TensorType;
      readonly bytes: Uint8Array;
      readonly points: Float32Array;
      readonly eights: EightsMetric;
    }
  /** Affine groups; with the numbers of whole rows where these are one group. */
  | {
      readonly kind: 'affine';
      readonly spec: AffineSpec;
      readonly ofRows: RowNumbers | null;
    };

/** Arrays are shared with the thread that asks. */
export interface SpanJob {
  readonly metric: SpanMetric;
  readonly rounding: Rounding;
  readonly rows: number;
  /** [size, rows]; becomes what the codes get wrong. */
  readonly targets: Float32Array;
  /** Where what the codes stand for goes: whole rows, and the span's first column in them. */
  readonly place: {
    readonly values: Float32Array;
    readonly rowLength: number;
    readonly first: number;
  };
  /** Of ggml's types, bytes become those of the new codes. */
  readonly storage: SpanStorage;
}

export interface SpanResult {
  /** Of affine groups, what is stored. */
  readonly affine: OpenAffine | null;
}

const memories = new Map<number, Promise<SpanMemory>>();

function memoryOf(stride: number): Promise<SpanMemory> {
  const known = memories.get(stride) ?? SpanMemory.make(stride);
  memories.set(stride, known);
  return known;
}

async function work(job: SpanJob): Promise<Answer<SpanResult>> {
  try {
    return await solveSpans(job);
  } catch (error) {
    return { error: serializeError(error) };
  }
}

/** Improves every row's codes. */
export async function solveSpans(job: SpanJob): Promise<SpanResult> {
  const { metric, rounding, rows, targets, place, storage } = job;
  const { size } = metric;
  const memory = await memoryOf(metric.stride);
  const store = openStorage(storage, targets.subarray(0, rows * size), rows, metric, memory);
  for (let first = 0; first < rows; first += store.rowsAtOnce) {
    const count = Math.min(store.rowsAtOnce, rows - first);
    const parts = Array.from({ length: count }, (_, index) =>
      targets.subarray((first + index) * size, (first + index + 1) * size),
    );
    parts.forEach((_, index) => store.open(index, first + index));
    store.solver.solve(parts, rounding);
    for (const [index, part] of parts.entries()) {
      store.close(index, first + index);
      const values = store.solver.valuesOf(index);
      place.values.set(values, (first + index) * place.rowLength + place.first);
      for (let j = 0; j < size; j++) part[j] -= values[j];
    }
  }
  return { affine: store.affine?.() ?? null };
}

interface OpenStorage {
  readonly rowsAtOnce: number;
  readonly solver: Pick<SpanSolvers, 'solve' | 'valuesOf'>;
  /** Takes a stored row in hand, as the `index`-th. */
  open(index: number, row: number): void;
  close(index: number, row: number): void;
  /** All rows, opened. */
  affine?(): OpenAffine;
}

function openStorage(
  storage: SpanStorage,
  values: Float32Array,
  rows: number,
  metric: SpanMetric,
  memory: SpanMemory,
): OpenStorage {
  const { size } = metric;
  if (storage.kind === 'grid') return openGrid(storage, rows, memory);
  if (storage.kind === 'blocks') {
    const { type, bytes } = storage;
    const format = blockFormat(type);
    if (format === null) throw new Error(`expected a linear type, found ${type}`);
    const cells = inHand(() => new BlockCells(format, size));
    const rowBytes = bytes.byteLength / rows;
    return {
      rowsAtOnce: ROWS_AT_ONCE,
      solver: new SpanSolvers(memory, metric, cells),
      open: (index, row) => cells[index].open(bytes, row * rowBytes),
      close: (index, row) => cells[index].close(bytes, row * rowBytes),
    };
  }
  const { spec, ofRows } = storage;
  const importance = diagonalOf(metric);
  const tensor: AffineTensor = encodeAffine({ values, rows, rowLength: size, importance }, spec);
  const cells = inHand(() => new AffineCells(tensor, ofRows));
  return {
    rowsAtOnce: ROWS_AT_ONCE,
    solver: new SpanSolvers(memory, metric, cells),
    open: (index, row) => cells[index].open(row),
    close: (index, row) => cells[index].close(row),
    affine: () => openAffine(tensor),
  };
}

function inHand<Of>(make: () => Of): readonly Of[] {
  return Array.from({ length: ROWS_AT_ONCE }, make);
}

function openGrid(
  { type, bytes, points, eights }: Extract<SpanStorage, { kind: 'grid' }>,
  rows: number,
  memory: SpanMemory,
): OpenStorage {
  const format = gridFormat(type);
  if (format === null) throw new Error(`expected a type with a grid, found ${type}`);
  const cells = new CodebookCells(format, new Codebook(points, format.dimensions));
  const rowBytes = bytes.byteLength / rows;
  const solver = new CodebookSolver(memory, eights, cells);
  return {
    rowsAtOnce: 1,
    solver: {
      solve: ([targets], rounding) => void solver.solve(targets, rounding),
      valuesOf: () => solver.values,
    },
    open: (_, row) => cells.open(bytes, row * rowBytes),
    close: (_, row) => cells.close(bytes, row * rowBytes),
  };
}

parentPort?.on('message', async (job: SpanJob) => {
  parentPort?.postMessage(await work(job), []);
});
