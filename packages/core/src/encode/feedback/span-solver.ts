/**
 * @file The codes and scales of a row's span for the least dw M dw', M its metric: what is done with one row, between decisions on the
 * codes of several (`SpanSolvers`). Whatever can be changed by itself is changed to what is best where all else stays: scales
 * and offsets of groups in the format's own precision, numbers that blocks share, zero points, and codes (refit), until
 * little is gained. No change is ever for the worse.
 */
import type { Cells, SharedNumber } from './cells.js';
import { refitGroup, type GroupFit } from './refit-group.js';
import type { RowMemory } from './row-memory.js';
import { SpanCodes } from './span-codes.js';

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
  private readonly memory: RowMemory;
  private readonly cells: Cells;
  private readonly codes: SpanCodes;
  private readonly groupFit: GroupFit;
  /** Of each shared number, what changing it by one costs, as it was last found. */
  private readonly stiffness: Float64Array;
  private loss = Infinity;
  /** Loss before the round that is open. */
  private before = Infinity;
  private round = 0;
  private taken = false;

  /**
   * @param groupBlocks what moving all weights of a group alike costs
   * @param isEven whether the cells' levels are whole numbers from the first one on
   */
  constructor(memory: RowMemory, cells: Cells, groupBlocks: Float64Array, isEven: boolean) {
    this.memory = memory;
    this.cells = cells;
    this.codes = new SpanCodes(memory, cells, isEven);
    this.groupFit = refitGroup(groupBlocks, cells, memory, this.codes);
    this.stiffness = new Float64Array(cells.shared.length);
  }

  /** The weights that the codes stand for. */
  get values(): Float32Array {
    return this.memory.vectors.values.values.subarray(0, this.cells.size);
  }

  /** Takes over what the weights should be, and the cells as they are; `wanted` is to become M times `targets`. */
  begin(targets: ArrayLike<number>): void {
    this.memory.vectors.targets.values.set(targets);
    this.codes.load();
    this.stiffness.fill(0);
    this.loss = Infinity;
    this.round = 0;
  }

  /**
   * Takes the codes that were decided, where they are better: `direction` is then what they get wrong.
   * @param decidedLoss null: the cells' own codes
   */
  take(decidedLoss: number | null): void {
    this.taken = this.loss === Infinity || (decidedLoss !== null && decidedLoss < this.loss);
    if (!this.taken) return;
    if (decidedLoss !== null && decidedLoss < this.loss) this.codes.take();
    const { targets, values, direction } = this.memory.vectors;
    this.decode();
    for (let j = 0; j < this.cells.size; j++) direction.values[j] = targets.values[j] - values.values[j];
  }

  /** What pulls at the weights, M (t - w), and their loss, where codes were taken; `moved` is M times `direction`. */
  measure(): void {
    if (!this.taken) return;
    const { direction, moved, pull } = this.memory.vectors;
    pull.values.set(moved.values);
    this.loss = this.memory.product(direction, pull);
  }

  /** A round of refitting. */
  refit(): void {
    this.before = this.loss;
    this.loss -= this.refitGroups();
    if (this.round < SHARED_ROUNDS) this.loss -= this.refitShared(this.loss);
    for (let sweep = 0; sweep < MOST_SWEEPS; sweep++) {
      const gained = this.codes.sweep();
      this.loss -= gained;
      if (gained <= LEAST_GAIN * this.loss) break;
    }
  }

  /** Refits until little is gained, beginning with the end of the round that is open. */
  settle(): void {
    while (this.before - this.loss > LEAST_GAIN * this.before && ++this.round < MOST_ROUNDS) this.refit();
    this.decode();
  }

  private decode(): void {
    const { codes, groupSize, size, levels, scale, zero, offset } = this.cells;
    const { values } = this.memory.vectors.values;
    for (let group = 0, j = 0; j < size; group++) {
      const last = Math.min(size, j + groupSize);
      for (; j < last; j++) values[j] = (levels[codes[j]] - zero[group]) * scale[group] + offset[group];
    }
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
    const { pull, direction, moved, values } = memory.vectors;
    const value = number.get();
    if (value === 0) return 0;
    this.takeDirection(number.of, value);
    const p = memory.product(direction, pull);
    if (p * p <= LEAST_SHARED_GAIN * loss * stiffness[index]) return 0;
    this.moveDirection(number.of, value);
    const pp = memory.product(direction, moved);
    stiffness[index] = pp;
    const wish = pp > 0 ? number.near(value + p / pp) : value;
    const change = wish - value;
    const gain = change * (2 * p - change * pp);
    if (gain <= 0 || wish === 0) return 0;
    number.set(wish);
    for (let group = 0; group < cells.scale.length; group++) this.codes.renew(group);
    memory.add(values, direction, change);
    memory.add(pull, moved, -change);
    return gain;
  }

  /** `direction`: how weights change with the number that all scales, or all offsets, are multiples of. */
  private takeDirection(of: SharedNumber['of'], value: number): void {
    const { groupSize, offset } = this.cells;
    const direction = this.memory.vectors.direction.values;
    const values = this.memory.vectors.values.values;
    const inverse = 1 / value;
    for (let group = 0, j = 0; group < offset.length; group++) {
      const end = j + groupSize;
      const own = offset[group];
      if (of === 'offset') direction.fill(own * inverse, j, end);
      else for (let i = j; i < end; i++) direction[i] = (values[i] - own) * inverse;
      j = end;
    }
  }

  /** `moved`: M times that. Offsets are alike in a group; and M w = M t - pull, of which scales make what offsets do not. */
  private moveDirection(of: SharedNumber['of'], value: number): void {
    const { memory } = this;
    const { moved, pull, wanted } = memory.vectors;
    const inverse = 1 / value;
    const ofOffsets = of === 'offset' ? inverse : -inverse;
    moved.values.fill(0);
    this.cells.offset.forEach((offset, group) => {
      if (offset !== 0) memory.addGroup(moved, group, ofOffsets * offset);
    });
    if (of === 'offset') return;
    memory.add(moved, wanted, inverse);
    memory.add(moved, pull, -inverse);
  }
}
