/**
 * @file Points, signs and scales of a super-block for the least dw M dw', M its metric: what `SpanSolver` does for linear types. Eight
 * weights at a time are first decided with feedback, each eight taking over what the ones before it got wrong. Then eights, scale codes
 * of groups and the scale of all are set to what is best where all else stays, until little is gained. No change is ever for the worse.
 */
import type { CodebookCells } from './codebook-cells.js';
import { EightSearch } from './codebook-search.js';
import { EIGHT, type EightsMetric } from './eights-metric.js';
import { nearestHalf } from './half-float.js';
import type { RowMemory } from './row-memory.js';
import type { SpanMemory } from './span-memory.js';
import type { Rounding } from '../../gram/rounding.js';

/** Of ggml's own scale, which is best where each error stands alone: where others make it good, a finer one often is. */
const FIRST_SCALES = [1, 0.95, 0.9];
/** Rounds of refitting, at most, and the least gain for another, relative to the loss. */
const MOST_ROUNDS = 4;
const LEAST_GAIN = 0.004;
const SQUARE = EIGHT * EIGHT;

export class CodebookSolver {
  private readonly memory: RowMemory;
  private readonly eights: EightsMetric;
  private readonly cells: CodebookCells;
  private readonly search: EightSearch;
  private readonly wish = new Float64Array(EIGHT);
  private readonly change = new Float64Array(EIGHT);
  private readonly decidedPoints: Uint16Array;
  private readonly decidedSigns: Uint8Array;

  constructor(memory: SpanMemory, eights: EightsMetric, cells: CodebookCells) {
    memory.hold(eights.metric);
    this.memory = memory.rows[0];
    this.eights = eights;
    this.cells = cells;
    this.search = new EightSearch(cells.codebook, cells.format.evenSigns);
    this.decidedPoints = cells.block.points.slice();
    this.decidedSigns = cells.block.signs.slice();
  }

  /** The weights that the codes stand for. */
  get values(): Float32Array {
    return this.memory.vectors.values.values.subarray(0, this.eights.metric.size);
  }

  /**
   * Improves the cells as they are.
   * @param targets what the weights should be
   * @returns the loss
   */
  solve(targets: ArrayLike<number>, { feedback, refit }: Rounding): number {
    this.memory.vectors.targets.values.set(targets);
    let loss = this.measure();
    const { scale } = this.cells.block;
    // Without one all points stand for zeros.
    if (scale === 0) return loss;
    if (feedback)
      for (const factor of FIRST_SCALES) loss = this.withFeedback(loss, nearestHalf(factor * scale));
    if (!refit) return loss;
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const before = loss;
      loss -= this.refitGroups();
      loss -= this.refitScale();
      loss -= this.sweep();
      if (round === 0 && feedback) loss = this.withFeedback(loss, this.cells.block.scale);
      if (before - loss <= LEAST_GAIN * before) break;
    }
    return loss;
  }

  /** Values of the codes, what pulls at them, M (t - w), and the loss. */
  private measure(): number {
    const { memory, eights } = this;
    const { targets, values, direction, pull } = memory.vectors;
    const { size } = eights.metric;
    this.cells.decode(values.values);
    for (let j = 0; j < size; j++) direction.values[j] = targets.values[j] - values.values[j];
    memory.multiply(direction, pull, size);
    let loss = 0;
    for (let j = 0; j < size; j++) loss += direction.values[j] * pull.values[j];
    return loss;
  }

  private scaleOfEight(eight: number): number {
    const { block, format } = this.cells;
    return this.cells.scaleOf(block.scaleCodes[Math.floor((eight * EIGHT) / format.groupSize)]);
  }

  /** Decides all eights anew with feedback by this scale, and takes them and it where that is better. */
  private withFeedback(loss: number, scale: number): number {
    const { memory, eights, search, wish, decidedPoints, decidedSigns } = this;
    const { block } = this.cells;
    const { targets, errors } = memory.vectors;
    const earlierScale = block.scale;
    block.scale = scale;
    errors.values.fill(0);
    let found = 0;
    // As soon as it is worse it is not taken.
    for (let place = 0; place < eights.order.length && found < loss; place++) {
      const eight = eights.order[place];
      const [first, done] = [eight * EIGHT, place * EIGHT];
      for (let k = 0; k < EIGHT; k++)
        wish[k] = targets.values[first + k] + memory.takenOver(errors, done + k);
      found += search.find(wish, eights.left, eight * SQUARE, this.scaleOfEight(eight));
      decidedPoints.set(search.points, eight * search.points.length);
      decidedSigns[eight] = search.signs;
      for (let k = 0; k < EIGHT; k++) errors.values[done + k] = targets.values[first + k] - search.values[k];
    }
    if (!(found < loss)) {
      block.scale = earlierScale;
      return loss;
    }
    block.points.set(decidedPoints);
    block.signs.set(decidedSigns);
    return this.measure();
  }

  /** Changes every eight that is better changed while all others stay; returns what that gained. */
  private sweep(): number {
    let gained = 0;
    for (const eight of this.eights.order) gained += this.refitEight(eight);
    return gained;
  }

  private refitEight(eight: number): number {
    const { memory, eights, search, wish, change } = this;
    const { pull, values, direction } = memory.vectors;
    const [first, at] = [eight * EIGHT, eight * SQUARE];
    for (let k = 0; k < EIGHT; k++) {
      let best = values.values[first + k];
      for (let i = 0; i < EIGHT; i++) best += eights.inverses[at + EIGHT * k + i] * pull.values[first + i];
      wish[k] = best;
    }
    search.find(wish, eights.own, at, this.scaleOfEight(eight));
    let gain = 0;
    for (let k = 0; k < EIGHT; k++) change[k] = search.values[k] - values.values[first + k];
    for (let k = 0; k < EIGHT; k++) {
      let moved = 0;
      for (let i = 0; i < EIGHT; i++) moved += eights.own[at + EIGHT * k + i] * change[i];
      gain += change[k] * (2 * pull.values[first + k] - moved);
    }
    if (gain <= 0) return 0;
    const { points, signs } = this.cells.block;
    points.set(search.points, eight * search.points.length);
    signs[eight] = search.signs;
    for (let k = 0; k < EIGHT; k++) {
      values.values[first + k] = search.values[k];
      direction.values[first + k] = -change[k];
    }
    memory.addRows(pull, direction, first, first + EIGHT);
    return gain;
  }

  private refitGroups(): number {
    let gained = 0;
    for (let group = 0; group < this.cells.block.scaleCodes.length; group++) gained += this.refitGroup(group);
    return gained;
  }

  /** The scale code of a group, at what is best where all else stays; returns what that gained. */
  private refitGroup(group: number): number {
    const { memory, cells } = this;
    const { block, format } = cells;
    const { pull, direction, moved, values } = memory.vectors;
    const [first, last] = [group * format.groupSize, (group + 1) * format.groupSize];
    const scale = cells.scaleOf(block.scaleCodes[group]);
    let [p, pp] = [0, 0];
    direction.values.fill(0);
    for (let j = first; j < last; j++) direction.values[j] = values.values[j] / scale;
    memory.multiplyPart(direction, moved, first, last);
    for (let j = first; j < last; j++) {
      p += direction.values[j] * pull.values[j];
      pp += direction.values[j] * moved.values[j];
    }
    if (!(pp > 0)) return 0;
    const code = cells.codeNear(scale + p / pp);
    const change = cells.scaleOf(code) - scale;
    const gain = change * (2 * p - change * pp);
    if (gain <= 0) return 0;
    block.scaleCodes[group] = code;
    for (let j = first; j < last; j++) {
      values.values[j] = (scale + change) * direction.values[j];
      direction.values[j] *= -change;
    }
    memory.addRows(pull, direction, first, last);
    return gain;
  }

  /** The scale of all, at what is best where all codes stay; returns what that gained. */
  private refitScale(): number {
    const { memory, cells, eights } = this;
    const { block } = cells;
    const { pull, direction, moved, values } = memory.vectors;
    const { size } = eights.metric;
    let [p, pp] = [0, 0];
    for (let j = 0; j < size; j++) direction.values[j] = values.values[j] / block.scale;
    memory.multiply(direction, moved, size);
    for (let j = 0; j < size; j++) {
      p += direction.values[j] * pull.values[j];
      pp += direction.values[j] * moved.values[j];
    }
    if (!(pp > 0)) return 0;
    const wish = nearestHalf(block.scale + p / pp);
    const change = wish - block.scale;
    const gain = change * (2 * p - change * pp);
    if (gain <= 0 || wish <= 0) return 0;
    block.scale = wish;
    cells.decode(values.values);
    memory.add(pull, moved, -change);
    return gain;
  }
}
