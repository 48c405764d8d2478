/** @file What a span's solvers compute with, in the memory of the vector kernels: a metric, and vectors of the rows in hand. */
import { levelList, spanAlgebra, type SpanAlgebra } from '@bitsmith/ggml';
import { RowMemory, type RowVector } from './row-memory.js';
import type { SpanMetric } from './span-metric.js';
import {
  FLOAT_BYTES,
  type HeldLevels,
  ROW_VECTORS,
  ROWS_AT_ONCE,
  type SpanPlaces,
  spanPlaces,
} from './span-places.js';

export class SpanMemory {
  readonly rows: readonly RowMemory[];
  /** Of the codes decided last, a row each. */
  readonly losses: Float32Array;
  private readonly algebra: SpanAlgebra;
  private readonly places: SpanPlaces;
  private readonly stride: number;
  private metric: SpanMetric | null = null;
  private levels: HeldLevels = { kind: 'even', top: 0 };

  private constructor(algebra: SpanAlgebra, places: SpanPlaces, stride: number) {
    this.algebra = algebra;
    this.places = places;
    this.stride = stride;
    this.losses = this.floats(places.losses, ROWS_AT_ONCE);
    this.rows = Array.from(
      { length: ROWS_AT_ONCE },
      (_, row) => new RowMemory(algebra, places, stride, row, () => this.levels),
    );
  }

  /** @param stride of the metrics that it will hold */
  static async make(stride: number): Promise<SpanMemory> {
    const { places, byteLength } = spanPlaces(stride);
    return new SpanMemory(await spanAlgebra(byteLength), places, stride);
  }

  /** Takes over a metric. */
  hold(metric: SpanMetric): void {
    if (this.metric === metric) return;
    const { size, stride, matrix, feedback, pivots, order } = metric;
    const { places } = this;
    // Rows of a metric are as long as they are apart; only where some are missing, others would be left.
    if (size < stride) this.floats(0, places.levels / FLOAT_BYTES).fill(0);
    this.floats(places.matrix, matrix.length).set(matrix);
    this.floats(places.feedback, feedback.length).set(feedback);
    this.floats(places.pivots, size).set(pivots);
    const [own, inverseOwn] = [places.own, places.inverseOwn].map((at) => this.floats(at, size));
    for (let j = 0; j < size; j++) {
      own[j] = matrix[j * stride + j];
      inverseOwn[j] = 1 / own[j];
    }
    new Int32Array(this.algebra.memory.buffer, places.order, size).set(order.map((j) => FLOAT_BYTES * j));
    for (const row of this.rows) row.clear();
    this.metric = metric;
  }

  /** Takes over sums of the metric: [groups, size] */
  holdGroups(rows: Float32Array, size: number): void {
    const { stride, places } = this;
    const held = this.floats(places.groups, (rows.length / size) * stride).fill(0);
    for (let group = 0; group * size < rows.length; group++)
      held.set(rows.subarray(group * size, (group + 1) * size), group * stride);
  }

  /** Takes over the levels of codes. @returns whether they are whole numbers from the first one on */
  holdLevels(levels: Float64Array): boolean {
    const isEven = levels.every((level, code) => level === levels[0] + code);
    if (isEven) this.levels = { kind: 'even', top: levels.length - 1 };
    else {
      const list = levelList(levels);
      this.floats(this.places.levels, list.length).set(list);
      this.levels = { kind: 'listed', byteLength: list.byteLength };
    }
    return isEven;
  }

  /** Codes of all rows in hand to their `decided`, in the order of decision, and `losses`. */
  decide(size: number): void {
    const { places, levels, stride, algebra } = this;
    const { targets, base, step, inverse, decided } = this.rows[0].vectors;
    const strideBytes = FLOAT_BYTES * stride;
    this.floats(places.errors, ROWS_AT_ONCE * stride).fill(0);
    const all = [
      places.order,
      places.feedback,
      strideBytes,
      FLOAT_BYTES * size,
      places.pivots,
      places.errors,
      targets.at,
      base.at,
      step.at,
      inverse.at,
      decided.at,
      ROW_VECTORS.length * strideBytes,
      places.losses,
    ] as const;
    if (levels.kind === 'even') algebra.decide.even(...all, levels.top);
    else algebra.decide.listed(...all, places.levels, levels.byteLength);
  }

  /** In all rows in hand: target = metric times vector. */
  multiply(vector: RowVector, target: RowVector, size: number): void {
    const { places, stride, algebra } = this;
    const { vectors } = this.rows[0];
    const strideBytes = FLOAT_BYTES * stride;
    const apart = ROW_VECTORS.length * strideBytes;
    algebra.multiplyFour(places.matrix, vectors[vector].at, vectors[target].at, apart, size, strideBytes);
  }

  private floats(at: number, count: number): Float32Array {
    return new Float32Array(this.algebra.memory.buffer, at, count);
  }
}
