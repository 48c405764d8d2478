/**
 * @file The codes of a row's span, as the vector kernels have them: chosen anew, or changed one by one, while its groups' numbers stay.
 */
import type { Cells } from './cells.js';
import type { RowMemory } from './row-memory.js';

export class SpanCodes {
  private readonly memory: RowMemory;
  private readonly cells: Cells;
  /** Of code 0: where levels are listed, it is not counted from. */
  private readonly first: number;

  constructor(memory: RowMemory, cells: Cells, isEven: boolean) {
    this.memory = memory;
    this.cells = cells;
    this.first = isEven ? cells.levels[0] : 0;
  }

  /** Takes over the cells' codes and numbers. */
  load(): void {
    const { cells, memory } = this;
    memory.vectors.codes.values.set(cells.codes);
    for (let group = 0; group < cells.scale.length; group++) this.renew(group);
  }

  /** Takes over the numbers of a group. */
  renew(group: number): void {
    const { scale, zero, offset, groupSize, size } = this.cells;
    const { base, step, inverse } = this.memory.vectors;
    const [first, last] = [group * groupSize, Math.min(size, (group + 1) * groupSize)];
    base.values.fill((this.first - zero[group]) * scale[group] + offset[group], first, last);
    step.values.fill(scale[group], first, last);
    inverse.values.fill(scale[group] === 0 ? 0 : 1 / scale[group], first, last);
  }

  /** Gives the cells the codes that were decided. */
  take(): void {
    const { codes, decided } = this.memory.vectors;
    codes.values.set(decided.values);
    this.store();
  }

  /** Changes every code that is better changed while all others stay, values and pull with it; returns what that gained. */
  sweep(): number {
    const gained = this.memory.sweep(this.cells.size);
    if (gained > 0) this.store();
    return gained;
  }

  private store(): void {
    this.cells.codes.set(this.memory.vectors.codes.values.subarray(0, this.cells.size));
  }
}
