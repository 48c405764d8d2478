/**
 * @file How the codes of a span are chosen where its groups' numbers stay: all anew, each taking over what the ones before it got wrong
 * (feedback), or one by one, each at what is best where all others stay. Levels that are evenly spaced have vector kernels.
 */
import type { Cells } from './cells.js';
import type { SpanMemory } from './span-memory.js';
import type { SpanMetric } from './span-metric.js';

export interface SpanCodes {
  /** Takes over the cells' codes and numbers. */
  load(): void;
  /** Takes over the numbers of a group. */
  renew(group: number): void;
  /** Chooses all codes anew with feedback, to be taken or not; returns the loss. */
  decide(): number;
  /** Gives the cells the codes that were decided. */
  take(): void;
  /** Changes every code that is better changed while all others stay, values and pull with it; returns what that gained. */
  sweep(): number;
}

export function spanCodes(memory: SpanMemory, metric: SpanMetric, cells: Cells): SpanCodes {
  const { levels } = cells;
  const even = levels.every((level, code) => level === levels[0] + code);
  return even ? new EvenCodes(memory, cells) : new LevelCodes(memory, metric, cells);
}

class EvenCodes implements SpanCodes {
  private readonly memory: SpanMemory;
  private readonly cells: Cells;

  constructor(memory: SpanMemory, cells: Cells) {
    this.memory = memory;
    this.cells = cells;
  }

  load(): void {
    const { cells, memory } = this;
    memory.vectors.codes.values.set(cells.codes);
    for (let group = 0; group < cells.scale.length; group++) this.renew(group);
  }

  renew(group: number): void {
    const { scale, zero, offset, levels, groupSize, size } = this.cells;
    const { base, step, inverse } = this.memory.vectors;
    const [first, last] = [group * groupSize, Math.min(size, (group + 1) * groupSize)];
    base.values.fill((levels[0] - zero[group]) * scale[group] + offset[group], first, last);
    step.values.fill(scale[group], first, last);
    inverse.values.fill(scale[group] === 0 ? 0 : 1 / scale[group], first, last);
  }

  decide(): number {
    return this.memory.decide(this.cells.size, this.cells.levels.length - 1);
  }

  take(): void {
    const { codes, decided } = this.memory.vectors;
    codes.values.set(decided.values);
    this.store();
  }

  sweep(): number {
    const gained = this.memory.sweep(this.cells.size, this.cells.levels.length - 1);
    if (gained > 0) this.store();
    return gained;
  }

  private store(): void {
    this.cells.codes.set(this.memory.vectors.codes.values.subarray(0, this.cells.size));
  }
}

class LevelCodes implements SpanCodes {
  private readonly memory: SpanMemory;
  private readonly metric: SpanMetric;
  private readonly cells: Cells;
  private readonly decided: Uint8Array;

  constructor(memory: SpanMemory, metric: SpanMetric, cells: Cells) {
    this.memory = memory;
    this.metric = metric;
    this.cells = cells;
    this.decided = new Uint8Array(cells.size);
  }

  load(): void {}

  renew(): void {}

  decide(): number {
    const { cells, memory, metric, decided } = this;
    const { order, pivots } = metric;
    const { codes, groupSize, size } = cells;
    const { targets, errors } = memory.vectors;
    errors.values.fill(0);
    let loss = 0;
    for (let k = 0; k < size; k++) {
      const j = order[k];
      const group = Math.floor(j / groupSize);
      const wish = targets.values[j] + memory.takenOver(errors, k);
      decided[j] = this.codeNear(group, wish, codes[j]);
      const value = this.valueOf(group, decided[j]);
      errors.values[k] = targets.values[j] - value;
      loss += pivots[k] * (wish - value) ** 2;
    }
    return loss;
  }

  take(): void {
    this.cells.codes.set(this.decided);
  }

  sweep(): number {
    const { cells, memory, metric } = this;
    const { matrix, stride } = metric;
    const { codes, groupSize, size } = cells;
    const { pull, values } = memory.vectors;
    let gained = 0;
    for (let j = 0; j < size; j++) {
      const group = Math.floor(j / groupSize);
      const own = matrix[j * stride + j];
      const code = this.codeNear(group, values.values[j] + pull.values[j] / own, codes[j]);
      if (code === codes[j]) continue;
      const value = this.valueOf(group, code);
      const change = value - values.values[j];
      const gain = change * (2 * pull.values[j] - change * own);
      if (gain <= 0) continue;
      codes[j] = code;
      values.values[j] = value;
      memory.addRow(pull, j, -change);
      gained += gain;
    }
    return gained;
  }

  private valueOf(group: number, code: number): number {
    const { levels, scale, zero, offset } = this.cells;
    return (levels[code] - zero[group]) * scale[group] + offset[group];
  }

  /** The code whose value is nearest; the same as before where a group has no scale. */
  private codeNear(group: number, wish: number, otherwise: number): number {
    const { levels, scale, zero, offset } = this.cells;
    if (scale[group] === 0) return otherwise;
    return nearestLevel(levels, (wish - offset[group]) / scale[group] + zero[group]);
  }
}

function nearestLevel(levels: Float64Array, level: number): number {
  let low = 0;
  let high = levels.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (levels[middle] <= level) low = middle;
    else high = middle;
  }
  return level - levels[low] <= levels[high] - level ? low : high;
}
