/**
 * @file What is learned of one matrix, after SignRound (Cheng et al., "Optimize Weight Rounding via Signed Gradient Descent", 2023): an
 * offset V in [-1/2, 1/2] for every weight, and for every group two factors of the ends of its range,
 *
 *     code = clamp(round((w - offset) / scale + V), 0, top)      w' = scale code + offset
 *
 * Rounding has the slope 1 where gradients pass (straight-through), clamping that of what it lets through. Only signs of gradients
 * count: each step moves V and the factors by the same rate.
 *
 * A start whose codes are not the nearest ones (error feedback's) stands for weights that would round to them: a weight outside its
 * code's cell is taken to lie just inside. Such codes were chosen together, and a step that moves all that lie near an edge undoes
 * more than it gains. So all of them are taken to lie near the middles of their cells: only what gradients agree on, step after
 * step, gets as far as another code. Their ranges, solved for, stay.
 */
import { type LevelGrid, type RangeSlopes, ROUND_TO_INTEGER } from './level-grid.js';

/** Factors of a range's ends stay within 1 - this and 1 + this. */
const MOST_STRETCH = 1 / 2;
/** Of a range's ends, how far they move in codes where a weight moves by one. */
export const RANGE_CODES = 1 / 4;
/** How near to its cell's edge a weight is put that lies outside, in codes. */
const EDGE = 1e-3;

export class LearnedMatrix {
  readonly grid: LevelGrid;
  /** Inverses of scales, by group. */
  private readonly inverses: Float64Array;
  /** What is rounded. */
  private readonly base: Float32Array;
  private readonly shifts: Float32Array;
  private readonly high: Float32Array;
  private readonly low: Float32Array;
  /** Factors of the best state, whose codes stand in the grid. */
  private readonly bestHigh: Float32Array;
  private readonly bestLow: Float32Array;
  /** How far the ends of ranges move where a weight moves by one code, as factors. */
  private readonly rangeShare: number;

  /**
   * @param weights as they were before rounding, row by row; copied
   * @param reach of a weight's way from its code's middle to where it lies, so much counts
   */
  constructor(grid: LevelGrid, weights: Float32Array, reach = 1) {
    const groups = grid.scales.length;
    this.grid = grid;
    this.inverses = new Float64Array(groups);
    this.invert();
    this.base = weights.slice();
    this.shifts = new Float32Array(weights.length);
    this.high = new Float32Array(groups).fill(1);
    this.low = new Float32Array(groups).fill(1);
    this.bestHigh = this.high.slice();
    this.bestLow = this.low.slice();
    this.rangeShare = reach < 1 ? 0 : Math.min(1, RANGE_CODES / grid.top);
    this.meetStart(reach);
  }

  /** The weights as they round now. */
  round(into: Float32Array): void {
    const { base, shifts, inverses } = this;
    const { scales, offsets, top } = this.grid;
    this.inGroups((group, first, last) => {
      const [scale, offset, inverse] = [scales[group], offsets[group], inverses[group]];
      for (let i = first; i < last; i++) {
        let code = (base[i] - offset) * inverse + shifts[i] + ROUND_TO_INTEGER - ROUND_TO_INTEGER;
        code = code < 0 ? 0 : code > top ? top : code;
        into[i] = scale * code + offset;
      }
    });
  }

  /** One step against the signs of the gradient of the loss by the rounded weights. */
  step(gradient: Float32Array, rate: number): void {
    const slopes: RangeSlopes = { high: 0, low: 0 };
    const { high, low, grid } = this;
    const range = rate * this.rangeShare;
    this.inGroups((group, first, last) => {
      this.stepGroup(gradient, rate, group, first, last, slopes);
      high[group] = factor(high[group] - range * Math.sign(slopes.high));
      low[group] = factor(low[group] - range * Math.sign(slopes.low));
    });
    grid.stretch(high, low);
    this.invert();
  }

  /** Makes what stands now the state that is kept. */
  keep(): void {
    const { base, shifts, inverses } = this;
    const { codes, offsets, top } = this.grid;
    this.inGroups((group, first, last) => {
      const [offset, inverse] = [offsets[group], inverses[group]];
      for (let i = first; i < last; i++) {
        const code = (base[i] - offset) * inverse + shifts[i] + ROUND_TO_INTEGER - ROUND_TO_INTEGER;
        codes[i] = code < 0 ? 0 : code > top ? top : code;
      }
    });
    this.bestHigh.set(this.high);
    this.bestLow.set(this.low);
  }

  /** Goes back to the state that was kept: the grid then holds it whole. */
  finish(into: Float32Array): void {
    const { grid } = this;
    const { codes, scales, offsets } = grid;
    grid.stretch(this.bestHigh, this.bestLow);
    this.inGroups((group, first, last) => {
      for (let i = first; i < last; i++) into[i] = scales[group] * codes[i] + offsets[group];
    });
  }

  /** Moves V, and fills the slopes of the group's factors with what stood before. */
  private stepGroup(
    gradient: Float32Array,
    rate: number,
    group: number,
    first: number,
    last: number,
    slopes: RangeSlopes,
  ): void {
    const { base, shifts } = this;
    const { offsets, scales, top } = this.grid;
    const [offset, inverse] = [offsets[group], this.inverses[group]];
    const uphill = scales[group] < 0 ? -rate : rate;
    let [byScale, byOffset] = [0, 0];
    for (let i = first; i < last; i++) {
      const place = (base[i] - offset) * inverse;
      const code = place + shifts[i] + ROUND_TO_INTEGER - ROUND_TO_INTEGER;
      const slope = gradient[i];
      if (code < 0) byOffset += slope;
      else if (code > top) {
        byScale += slope * top;
        byOffset += slope;
      } else {
        byScale += slope * (code - place);
        const moved = shifts[i] - (slope > 0 ? uphill : slope < 0 ? -uphill : 0);
        shifts[i] = moved > 0.5 ? 0.5 : moved < -0.5 ? -0.5 : moved;
      }
    }
    this.grid.slopes(group, byScale, byOffset, this.low[group], slopes);
  }

  /** Puts weights where their starting codes say that they lie. */
  private meetStart(reach: number): void {
    const { base, inverses } = this;
    const { codes, scales, offsets, top } = this.grid;
    this.inGroups((group, first, last) => {
      const [scale, offset, inverse] = [scales[group], offsets[group], inverses[group]];
      if (scale === 0) return;
      for (let i = first; i < last; i++) {
        const place = (base[i] - offset) * inverse;
        const nearest = Math.min(top, Math.max(0, place + ROUND_TO_INTEGER - ROUND_TO_INTEGER));
        if (nearest === codes[i] && reach === 1) continue;
        const away = Math.min(0.5 - EDGE, Math.max(EDGE - 0.5, place - codes[i]));
        base[i] = scale * (codes[i] + reach * away) + offset;
      }
    });
  }

  private invert(): void {
    const { scales } = this.grid;
    for (let group = 0; group < scales.length; group++)
      this.inverses[group] = scales[group] === 0 ? 0 : 1 / scales[group];
  }

  private inGroups(work: (group: number, first: number, last: number) => void): void {
    const { rows, rowLength, groupSize, groupsPerRow } = this.grid;
    for (let row = 0; row < rows; row++) {
      const end = (row + 1) * rowLength;
      for (let index = 0; index < groupsPerRow; index++) {
        const first = row * rowLength + index * groupSize;
        work(row * groupsPerRow + index, first, Math.min(end, first + groupSize));
      }
    }
  }
}

function factor(value: number): number {
  return Math.min(1 + MOST_STRETCH, Math.max(1 - MOST_STRETCH, value));
}
