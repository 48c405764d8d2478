/**
 * @file The codes and scales of a span for the least dw M dw', M its metric. Codes are first decided one after the other, each taking
 * over what the ones before it got wrong (feedback). Then whatever can be changed by itself is changed to what is best where
 * all else stays: scales and offsets of groups in the format's own precision, numbers that blocks share, zero points
 * (refit), and codes again, until little is gained. No change is ever for the worse.
 */
import type { Cells, SharedNumber } from './cells.js';
import { refitGroup, type GroupFit } from './refit-group.js';
import { spanCodes, type SpanCodes } from './span-codes.js';
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
/** A shared number is left as it is where it would gain less than this share of the loss, by what its last change cost. */
const LEAST_SHARED_GAIN = 0.0005;
/** Sweeps over the codes within a round. */
const MOST_SWEEPS = 3;

export class SpanSolver {
  private readonly memory: SpanMemory;
  private readonly metric: SpanMetric;
  private readonly cells: Cells;
  private readonly codes: SpanCodes;
  private readonly groupFit: GroupFit;
  /** Of each shared number, what changing it by one costs, as it was last found. */
  private readonly stiffness: Float64Array;

  constructor(memory: SpanMemory, metric: SpanMetric, cells: Cells) {
    memory.hold(metric);
    this.memory = memory;
    this.metric = metric;
    this.cells = cells;
    this.codes = spanCodes(memory, metric, cells);
    this.groupFit = refitGroup(metric, cells, memory, this.codes);
    this.stiffness = new Float64Array(cells.shared.length);
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
    this.codes.load();
    this.stiffness.fill(0);
    let loss = feedback ? this.withFeedback(Infinity) : this.measure();
    if (!refit) return loss;
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const before = loss;
      loss -= this.refitGroups();
      if (round < SHARED_ROUNDS) loss -= this.refitShared(loss);
      for (let sweep = 0; sweep < MOST_SWEEPS; sweep++) {
        const gained = this.codes.sweep();
        loss -= gained;
        if (gained <= LEAST_GAIN * loss) break;
      }
      if (round === 0 && feedback) loss = this.withFeedback(loss);
      if (before - loss <= LEAST_GAIN * before) break;
    }
    this.decode();
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

  /** Decides all codes anew with feedback, and keeps them where that is better than `loss`. */
  private withFeedback(loss: number): number {
    if (this.codes.decide() >= loss) return loss;
    this.codes.take();
    return this.measure();
  }

  private refitGroups(): number {
    let gained = 0;
    for (let group = 0; group < this.cells.scale.length; group++) gained += this.groupFit(group);
    return gained;
  }

  /** Numbers that blocks share, at what is best where all codes stay; returns what that gained. */
  private refitShared(loss: number): number {
    return this.cells.shared.reduce(
      (gained, number, index) => gained + this.refitNumber(number, index, loss),
      0,
    );
  }

  private refitNumber(number: SharedNumber, index: number, loss: number): number {
    const { cells, memory, stiffness } = this;
    const { groupSize, scale, offset, codes, levels, size } = cells;
    const { pull, direction, moved, values } = memory.vectors;
    const [pulls, along] = [pull.values, direction.values];
    const value = number.get();
    if (value === 0) return 0;
    const first = number.firstGroup * groupSize;
    const last = first + number.groups * groupSize;
    along.fill(0);
    let p = 0;
    for (let j = first; j < last;) {
      const group = j / groupSize;
      const factor = (number.of === 'scale' ? scale[group] : offset[group]) / value;
      for (const end = j + groupSize; j < end; j++) {
        along[j] = number.of === 'scale' ? levels[codes[j]] * factor : factor;
        p += along[j] * pulls[j];
      }
    }
    if (p * p <= LEAST_SHARED_GAIN * loss * stiffness[index]) return 0;
    memory.multiply(direction, moved, size);
    let pp = 0;
    for (let j = first; j < last; j++) pp += along[j] * moved.values[j];
    stiffness[index] = pp;
    const wish = pp > 0 ? number.near(value + p / pp) : value;
    const change = wish - value;
    const gain = change * (2 * p - change * pp);
    if (gain <= 0 || wish === 0) return 0;
    number.set(wish);
    for (let group = number.firstGroup; group < number.firstGroup + number.groups; group++)
      this.codes.renew(group);
    memory.add(values, direction, change);
    memory.add(pull, moved, -change);
    return gain;
  }
}
