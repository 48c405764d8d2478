/** @file What a span's solver computes with, in the memory of the vector kernels: a metric, and vectors as long as its rows. */
import { spanAlgebra, type SpanAlgebra, STRIDE } from '@bitsmith/ggml';
import type { SpanMetric } from './span-metric.js';

const FLOAT_BYTES = 4;
/** What the kernels work on at once. */
const BLOCK_BYTES = FLOAT_BYTES * STRIDE;
const VECTORS = [
  'targets',
  'values',
  'pull',
  'errors',
  'direction',
  'moved',
  'base',
  'step',
  'inverse',
  'codes',
  'decided',
  'own',
  'inverseOwn',
  'pivots',
  'order',
] as const;
type VectorName = (typeof VECTORS)[number];

/** A vector and its place. */
export interface Vector {
  readonly at: number;
  readonly values: Float32Array;
}

export class SpanMemory {
  readonly matrix: Float32Array;
  private readonly feedback: Float32Array;
  /** Places in decision order, in bytes. */
  private readonly order: Int32Array;
  private readonly places: { readonly matrix: number; readonly feedback: number };
  readonly vectors: Readonly<Record<VectorName, Vector>>;
  private readonly algebra: SpanAlgebra;
  private readonly stride: number;
  private metric: SpanMetric | null = null;

  private constructor(algebra: SpanAlgebra, stride: number) {
    const { buffer } = algebra.memory;
    const rows = stride * stride;
    this.algebra = algebra;
    this.stride = stride;
    this.places = { matrix: 0, feedback: FLOAT_BYTES * rows };
    this.matrix = new Float32Array(buffer, 0, rows);
    this.feedback = new Float32Array(buffer, this.places.feedback, rows);
    const vectors = VECTORS.map((name, index): [VectorName, Vector] => {
      const at = FLOAT_BYTES * (2 * rows + index * stride);
      return [name, { at, values: new Float32Array(buffer, at, stride) }];
    });
    this.vectors = Object.fromEntries(vectors) as Record<VectorName, Vector>;
    this.order = new Int32Array(buffer, this.vectors.order.at, stride);
  }

  /** @param stride of the metrics that it will hold */
  static async make(stride: number): Promise<SpanMemory> {
    const floats = 2 * stride * stride + VECTORS.length * stride;
    return new SpanMemory(await spanAlgebra(FLOAT_BYTES * floats), stride);
  }

  /** Takes over a metric. */
  hold(metric: SpanMetric): void {
    if (this.metric === metric) return;
    const { size, stride, matrix, feedback, pivots, order } = metric;
    this.matrix.fill(0).set(matrix);
    this.feedback.fill(0).set(feedback);
    for (const { values } of Object.values(this.vectors)) values.fill(0);
    this.vectors.pivots.values.set(pivots);
    this.order.set(order.map((j) => FLOAT_BYTES * j));
    for (let j = 0; j < size; j++) {
      this.vectors.own.values[j] = matrix[j * stride + j];
      this.vectors.inverseOwn.values[j] = 1 / matrix[j * stride + j];
    }
    this.metric = metric;
  }

  /** target += factor * row j of the matrix */
  addRow(target: Vector, j: number, factor: number): void {
    const bytes = FLOAT_BYTES * this.stride;
    this.algebra.addRow(target.at, j * bytes, bytes, factor);
  }

  /** target += the sum of rows `first` to `last`, each times its factor; factors are zero behind them, up to a whole four. */
  addRows(target: Vector, factors: Vector, first: number, last: number): void {
    const bytes = FLOAT_BYTES * this.stride;
    this.algebra.addRows(
      target.at,
      first * bytes,
      factors.at + FLOAT_BYTES * first,
      last - first,
      bytes,
      bytes,
    );
  }

  /** target += factor * vector */
  add(target: Vector, vector: Vector, factor: number): void {
    this.algebra.addRow(target.at, vector.at, FLOAT_BYTES * this.stride, factor);
  }

  /** target = matrix times vector */
  multiply(vector: Vector, target: Vector, size: number): void {
    const bytes = FLOAT_BYTES * this.stride;
    this.algebra.multiply(this.places.matrix, vector.at, target.at, size, bytes, bytes);
  }

  /** The same of rows and columns `first` to `last` alone; the vector is zero behind them, up to a whole stride. */
  multiplyPart(vector: Vector, target: Vector, first: number, last: number): void {
    const at = FLOAT_BYTES * first;
    const bytes = BLOCK_BYTES * Math.ceil((FLOAT_BYTES * (last - first)) / BLOCK_BYTES);
    const stride = FLOAT_BYTES * this.stride;
    const corner = this.places.matrix + first * stride + at;
    this.algebra.multiply(corner, vector.at + at, target.at + at, last - first, bytes, stride);
  }

  /** What the k-th weight decided takes over of the errors before it; `errors` in the order of decision, zeros from k on. */
  takenOver(errors: Vector, k: number): number {
    const rowBytes = FLOAT_BYTES * this.stride;
    // Rows are zero from column k on.
    const bytes = BLOCK_BYTES * Math.ceil((FLOAT_BYTES * k) / BLOCK_BYTES);
    return bytes === 0 ? 0 : this.algebra.product(this.places.feedback + k * rowBytes, errors.at, bytes);
  }

  /** Codes of evenly spaced levels to `decided`, in the order of decision; returns the loss. */
  decide(size: number, top: number): number {
    const { order, pivots, targets, errors, base, step, inverse, decided } = this.vectors;
    errors.values.fill(0);
    return this.algebra.decide(
      order.at,
      this.places.feedback,
      FLOAT_BYTES * this.stride,
      FLOAT_BYTES * size,
      pivots.at,
      targets.at,
      errors.at,
      base.at,
      step.at,
      inverse.at,
      decided.at,
      top,
    );
  }

  /** Changes `codes` of evenly spaced levels one by one, `values` and `pull` with them; returns what that gained. */
  sweep(size: number, top: number): number {
    const { values, pull, own, inverseOwn, base, step, inverse, codes } = this.vectors;
    return this.algebra.sweep(
      this.places.matrix,
      FLOAT_BYTES * this.stride,
      FLOAT_BYTES * size,
      values.at,
      pull.at,
      own.at,
      inverseOwn.at,
      base.at,
      step.at,
      inverse.at,
      codes.at,
      top,
    );
  }
}
