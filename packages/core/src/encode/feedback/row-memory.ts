/** @file The vectors of a row while its span is solved, and what is computed with them and the span's metric. */
import { type SpanAlgebra, STRIDE } from '@bitsmith/ggml';
import { FLOAT_BYTES, type HeldLevels, ROW_VECTORS, type SpanPlaces } from './span-places.js';

/** What the kernels work on at once. */
const BLOCK_BYTES = FLOAT_BYTES * STRIDE;

export type RowVector = (typeof ROW_VECTORS)[number];

/** A vector and its place. */
export interface Vector {
  readonly at: number;
  readonly values: Float32Array;
}

export class RowMemory {
  readonly vectors: Readonly<Record<RowVector, Vector>>;
  private readonly algebra: SpanAlgebra;
  private readonly places: SpanPlaces;
  private readonly strideBytes: number;
  private readonly levels: () => HeldLevels;

  constructor(
    algebra: SpanAlgebra,
    places: SpanPlaces,
    stride: number,
    row: number,
    levels: () => HeldLevels,
  ) {
    this.algebra = algebra;
    this.places = places;
    this.strideBytes = FLOAT_BYTES * stride;
    this.levels = levels;
    this.vectors = Object.fromEntries(
      ROW_VECTORS.map((name, index): [string, Vector] => {
        const at = places.rows + (row * ROW_VECTORS.length + index) * this.strideBytes;
        return [name, { at, values: new Float32Array(algebra.memory.buffer, at, stride) }];
      }),
    ) as RowMemory['vectors'];
  }

  clear(): void {
    for (const { values } of Object.values(this.vectors)) values.fill(0);
  }

  /** target += the sum of the metric's rows `first` to `last`, each times its factor; factors are zero behind them, up to a whole four. */
  addRows(target: Vector, factors: Vector, first: number, last: number): void {
    const { strideBytes } = this;
    const rows = this.places.matrix + first * strideBytes;
    const place = factors.at + FLOAT_BYTES * first;
    this.algebra.addRows(target.at, rows, place, last - first, strideBytes, strideBytes);
  }

  /** target += factor * the metric's columns of a group */
  addGroup(target: Vector, group: number, factor: number): void {
    const { strideBytes, places } = this;
    this.algebra.addRow(target.at, places.groups + group * strideBytes, strideBytes, factor);
  }

  /** target += factor * vector */
  add(target: Vector, vector: Vector, factor: number): void {
    this.algebra.addRow(target.at, vector.at, this.strideBytes, factor);
  }

  product(a: Vector, b: Vector): number {
    return this.algebra.product(a.at, b.at, this.strideBytes);
  }

  /** target = metric times vector */
  multiply(vector: Vector, target: Vector, size: number): void {
    const { strideBytes } = this;
    this.algebra.multiply(this.places.matrix, vector.at, target.at, size, strideBytes, strideBytes);
  }

  /** The same of rows and columns `first` to `last` alone; the vector is zero behind them, up to a whole stride. */
  multiplyPart(vector: Vector, target: Vector, first: number, last: number): void {
    const at = FLOAT_BYTES * first;
    const bytes = BLOCK_BYTES * Math.ceil((FLOAT_BYTES * (last - first)) / BLOCK_BYTES);
    const corner = this.places.matrix + first * this.strideBytes + at;
    this.algebra.multiply(corner, vector.at + at, target.at + at, last - first, bytes, this.strideBytes);
  }

  /** What the k-th weight decided takes over of the errors before it; `errors` in the order of decision, zeros from k on. */
  takenOver(errors: Vector, k: number): number {
    // Rows are zero from column k on.
    const bytes = BLOCK_BYTES * Math.ceil((FLOAT_BYTES * k) / BLOCK_BYTES);
    const row = this.places.feedback + k * this.strideBytes;
    return bytes === 0 ? 0 : this.algebra.product(row, errors.at, bytes);
  }

  /** Changes `codes` one by one, `values` and `pull` with them; returns what that gained. */
  sweep(size: number): number {
    const { values, pull, base, step, inverse, codes } = this.vectors;
    const { places, algebra } = this;
    const levels = this.levels();
    const all = [
      places.matrix,
      this.strideBytes,
      FLOAT_BYTES * size,
      values.at,
      pull.at,
      places.own,
      places.inverseOwn,
      base.at,
      step.at,
      inverse.at,
      codes.at,
    ] as const;
    return levels.kind === 'even'
      ? algebra.sweep.even(...all, levels.top)
      : algebra.sweep.listed(...all, places.levels, levels.byteLength);
  }
}
