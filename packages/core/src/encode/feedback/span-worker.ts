/** @file A thread that solves spans: many rows under one metric, each by itself. */
import { parentPort } from 'node:worker_threads';
import {
  type AffineSpec,
  type AffineTensor,
  blockFormat,
  encodeAffine,
  openAffine,
  type OpenAffine,
  serializeError,
  type TensorType,
} from '@bitsmith/formats';
import type { Answer } from '../thread-pool.js';
import { AffineCells, type RowNumbers } from './affine-cells.js';
import { BlockCells } from './block-cells.js';
import type { Cells } from './cells.js';
import { SpanMemory } from './span-memory.js';
import { diagonalOf, type SpanMetric } from './span-metric.js';
import { type Rounding, SpanSolver } from './span-solver.js';

/** What the rows of a span are to be stored in. */
export type SpanStorage =
  /** A linear type of ggml's, with the nearest codes to begin with. */
  | { readonly kind: 'blocks'; readonly type: TensorType; readonly bytes: Uint8Array }
  /** Affine groups; with the numbers of whole rows where these are one group. */
  | {
      readonly kind: 'affine';
      readonly spec: AffineSpec;
      readonly ofRows: RowNumbers | null;
    };

export interface SpanJob {
  readonly metric: SpanMetric;
  readonly rounding: Rounding;
  readonly rows: number;
  /** [size, rows]; comes back as what the codes stand for. */
  readonly targets: Float32Array;
  readonly storage: SpanStorage;
}

export interface SpanResult {
  readonly values: Float32Array;
  /** Of ggml's types, the encoded rows. */
  readonly bytes: Uint8Array | null;
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

/** Improves every row's codes; `targets` become the values. */
export async function solveSpans({ metric, rounding, rows, targets, storage }: SpanJob): Promise<SpanResult> {
  const { size } = metric;
  const store = openStorage(storage, targets, rows, metric);
  const solver = new SpanSolver(await memoryOf(metric.stride), metric, store.cells);
  for (let row = 0; row < rows; row++) {
    const target = targets.subarray(row * size, (row + 1) * size);
    store.open(row);
    solver.solve(target, rounding);
    store.close(row);
    target.set(solver.values);
  }
  const bytes = storage.kind === 'blocks' ? storage.bytes : null;
  return { values: targets, bytes, affine: store.affine?.() ?? null };
}

interface OpenStorage {
  readonly cells: Cells;
  open(row: number): void;
  close(row: number): void;
  /** All rows, opened. */
  affine?(): OpenAffine;
}

function openStorage(
  storage: SpanStorage,
  values: Float32Array,
  rows: number,
  metric: SpanMetric,
): OpenStorage {
  const { size } = metric;
  if (storage.kind === 'blocks') {
    const { type, bytes } = storage;
    const format = blockFormat(type);
    if (format === null) throw new Error(`expected a linear type, found ${type}`);
    const cells = new BlockCells(format, size);
    const rowBytes = bytes.byteLength / rows;
    return {
      cells,
      open: (row) => cells.open(bytes, row * rowBytes),
      close: (row) => cells.close(bytes, row * rowBytes),
    };
  }
  const { spec, ofRows } = storage;
  const importance = diagonalOf(metric);
  const tensor: AffineTensor = encodeAffine({ values, rows, rowLength: size, importance }, spec);
  const cells = new AffineCells(tensor, ofRows);
  return {
    cells,
    open: (row) => cells.open(row),
    close: (row) => cells.close(row),
    affine: () => openAffine(tensor),
  };
}

parentPort?.on('message', async (job: SpanJob) => {
  const answer = await work(job);
  const moved = 'values' in answer ? [answer.values.buffer as ArrayBuffer] : [];
  parentPort?.postMessage(answer, moved);
});
