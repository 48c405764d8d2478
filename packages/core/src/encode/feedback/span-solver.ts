/**
 * @file The codes and scales of a span for the least dw M dw', M its metric. Codes are first decided one after the other, each taking
 * over what the ones before it got wrong (feedback). Then whatever can be changed by itself is changed to what is best where
 * all else stays: scales and offsets of groups in the format's own precision, numbers that blocks share, zero points
 * (refit), and codes again, until little is gained. No change is ever for the worse.
 */
import type { Cells, SharedNumber } from './cells.js';
import { refitGroup, type GroupFit } from './refit-group.js';
import type { SpanMemory } from './span-memory.js';
import type { SpanMetric } from './span-metric.js';

/** What is done beyond the nearest codes. */
export interface Rounding {
  readonly feedback: boolean;
  readonly refit: boolean;
}

/** Rounds of refitting, at most, and the least gain for another, relative to the loss. */
const MOST_ROUNDS = 4;
const LEAST_GAIN = 0.004;
/** Numbers that blocks share settle before codes do. */
const SHARED_ROUNDS = 2;
/** Sweeps over the codes within a round. */
const MOST_SWEEPS = 3;

export class SpanSolver {
  private readonly memory: SpanMemory;
  private readonly metric: SpanMetric;
  private readonly cells: Cells;
  private readonly earlierCodes: Uint8Array;
  private readonly uniform: boolean;
  private readonly groupFit: GroupFit;

  constructor(memory: SpanMemory, metric: SpanMetric, cells: Cells) {
    memory.hold(metric);
    this.memory = memory;
    this.metric = metric;
    this.cells = cells;
    this.earlierCodes = new Uint8Array(cells.size);
    const { levels } = cells;
    this.uniform = levels.every((level, code) => level === levels[0] + code);
    this.groupFit = refitGroup(metric, cells, memory);
  }

  /** The weights that the codes stand for. */
  get values(): Float32Array {
    return this.memory.vectors.values.values.subarray(0, this.metric.size);
  }

  /**
   * Improves the cells as they are.
   * @param targets what the weights should be
   * @returns the loss
   */
  solve(targets: ArrayLike<number>, { feedback, refit }: Rounding): number {
    this.memory.vectors.targets.values.set(targets);
    let loss = this.measure();
    if (feedback) loss = this.withFeedback(loss);
    if (!refit) return loss;
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const before = loss;
      loss -= this.refitGroups();
      if (round < SHARED_ROUNDS) loss -= this.refitShared();
      for (let sweep = 0; sweep < MOST_SWEEPS; sweep++) {
        const gained = this.sweepCodes();
        loss -= gained;
        if (gained <= LEAST_GAIN * loss) break;
      }
      if (round === 0 && feedback) loss = this.withFeedback(loss);
      if (before - loss <= LEAST_GAIN * before) break;
    }
    return loss;
  }

  /** Values of the codes, what pulls at them, M (t - w), and the loss. */
  private measure(): number {
    const { memory, cells } = this;
    const { targets, values, direction, pull } = memory.vectors;
    const { size } = cells;
    this.decode();
    for (let j = 0; j < size; j++) direction.values[j] = targets.values[j] - values.values[j];
    memory.multiply(direction, pull, size);
    let loss = 0;
    for (let j = 0; j < size; j++) loss += direction.values[j] * pull.values[j];
    return loss;
  }

  private decode(): void {
    const { codes, groupSize, size, levels, scale, zero, offset } = this.cells;
    const { values } = this.memory.vectors.values;
    for (let group = 0, j = 0; j < size; group++) {
      const last = Math.min(size, j + groupSize);
      for (; j < last; j++) values[j] = (levels[codes[j]] - zero[group]) * scale[group] + offset[group];
    }
  }

  private valueOf(group: number, code: number): number {
    const { levels, scale, zero, offset } = this.cells;
    return (levels[code] - zero[group]) * scale[group] + offset[group];
  }

  /** The code whose value is nearest; the same as before where a group has no scale. */
  private codeNear(group: number, wish: number, otherwise: number): number {
    const { levels, scale, zero, offset } = this.cells;
    if (scale[group] === 0) return otherwise;
    const level = (wish - offset[group]) / scale[group] + zero[group];
    const most = levels.length - 1;
    if (!this.uniform) return nearestLevel(levels, level);
    const code = Math.round(level - levels[0]);
    return code < 0 ? 0 : code > most ? most : code;
  }

  /** Decides all codes anew with feedback, and keeps them where that is better. */
  private withFeedback(loss: number): number {
    const { cells, memory, metric, earlierCodes } = this;
    const { order } = metric;
    const { codes, groupSize, size } = cells;
    const { targets, errors, values, pull, earlierValues, earlierPull } = memory.vectors;
    earlierCodes.set(codes);
    earlierValues.values.set(values.values);
    earlierPull.values.set(pull.values);
    errors.values.fill(0);
    for (let k = 0; k < size; k++) {
      const j = order[k];
      const group = Math.floor(j / groupSize);
      const wish = targets.values[j] + memory.takenOver(errors, k);
      codes[j] = this.codeNear(group, wish, codes[j]);
      errors.values[k] = targets.values[j] - this.valueOf(group, codes[j]);
    }
    const found = this.measure();
    if (found < loss) return found;
    codes.set(earlierCodes);
    values.values.set(earlierValues.values);
    pull.values.set(earlierPull.values);
    return loss;
  }

  /** Changes every code that is better changed while all others stay; returns what that gained. */
  private sweepCodes(): number {
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

  private refitGroups(): number {
    let gained = 0;
    for (let group = 0; group < this.cells.scale.length; group++) gained += this.groupFit(group);
    return gained;
  }

  /** Numbers that blocks share, at what is best where all codes stay; returns what that gained. */
  private refitShared(): number {
    return this.cells.shared.reduce((gained, number) => gained + this.refitNumber(number), 0);
  }

  private refitNumber(number: SharedNumber): number {
    const { cells, memory } = this;
    const { groupSize, scale, offset, codes, levels, size } = cells;
    const { pull, direction, moved, values } = memory.vectors;
    const value = number.get();
    if (value === 0) return 0;
    const first = number.firstGroup * groupSize;
    const last = first + number.groups * groupSize;
    direction.values.fill(0);
    for (let j = first; j < last; j++) {
      const group = Math.floor(j / groupSize);
      direction.values[j] = (number.of === 'scale' ? levels[codes[j]] * scale[group] : offset[group]) / value;
    }
    memory.multiply(direction, moved, size);
    let [p, pp] = [0, 0];
    for (let j = first; j < last; j++) {
      p += direction.values[j] * pull.values[j];
      pp += direction.values[j] * moved.values[j];
    }
    const wish = pp > 0 ? number.near(value + p / pp) : value;
    const change = wish - value;
    const gain = change * (2 * p - change * pp);
    if (gain <= 0 || wish === 0) return 0;
    number.set(wish);
    memory.add(values, direction, change);
    memory.add(pull, moved, -change);
    return gain;
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
