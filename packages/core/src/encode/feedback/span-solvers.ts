/**
 * @file The spans of some rows at once. Codes are first decided one weight after the other, each taking over what the ones before it got
 * wrong (feedback), in all rows side by side; then each row is refitted by itself, its codes are decided once more by what its
 * scales have become, and it is refitted until little is gained.
 */
import type { Rounding } from '../../gram/rounding.js';
import type { Cells } from './cells.js';
import { groupSumsOf } from './group-sums.js';
import type { SpanMemory } from './span-memory.js';
import type { SpanMetric } from './span-metric.js';
import { SpanSolver } from './span-solver.js';

export class SpanSolvers {
  private readonly memory: SpanMemory;
  private readonly size: number;
  private readonly solvers: readonly SpanSolver[];

  /** @param cells of each row in hand, all of the same format */
  constructor(memory: SpanMemory, metric: SpanMetric, cells: readonly Cells[]) {
    memory.hold(metric);
    const isEven = memory.holdLevels(cells[0].levels);
    const sums = groupSumsOf(metric, cells[0].groupSize);
    if (cells[0].shared.length > 0) memory.holdGroups(sums.rows, metric.size);
    this.memory = memory;
    this.size = metric.size;
    this.solvers = cells.map((of, row) => new SpanSolver(memory.rows[row], of, sums.blocks, isEven));
  }

  /** The weights that a row's codes stand for. */
  valuesOf(row: number): Float32Array {
    return this.solvers[row].values;
  }

  /**
   * Improves the cells of the first rows in hand as they are.
   * @param targets what their weights should be
   */
  solve(targets: readonly Float32Array[], { feedback, refit }: Rounding): void {
    const rows = this.solvers.slice(0, targets.length);
    rows.forEach((row, index) => row.begin(targets[index]));
    this.memory.multiply('targets', 'wanted', this.size);
    this.take(rows, feedback);
    if (!refit) return;
    for (const row of rows) row.refit();
    if (feedback) this.take(rows, feedback);
    for (const row of rows) row.settle();
  }

  /** Measures codes, decided anew or as they are. */
  private take(rows: readonly SpanSolver[], feedback: boolean): void {
    const { memory, size } = this;
    if (feedback) memory.decide(size);
    rows.forEach((row, index) => row.take(feedback ? memory.losses[index] : null));
    memory.multiply('direction', 'moved', size);
    for (const row of rows) row.measure();
  }
}
