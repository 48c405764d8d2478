/**
 * @file The numbers of one group, at what is best where its codes and all else stay: scale and offset together by least squares under the
 * metric, each alone, and the zero point one step aside, all as the format can store them.
 */
import { STRIDE } from '@bitsmith/ggml';
import type { Cells } from './cells.js';
import type { RowMemory } from './row-memory.js';
import type { SpanCodes } from './span-codes.js';

/** Refits a group; returns what that gained, 0 where it stays as it is. */
export type GroupFit = (group: number) => number;

/** What moving a group's weights along its levels (s) and all alike (o) would change of the loss. */
interface Slopes {
  s: number;
  o: number;
  ss: number;
  so: number;
  oo: number;
}

/** The best change of a group's numbers so far. */
interface Best {
  gain: number;
  scale: number;
  offset: number;
}

/** Below this the levels of a group are as good as constant: scale and offset cannot be told apart. */
const DISTINCT = 1e-6;

/** @param sums of the metric, by group */
export function refitGroup(sums: Float64Array, cells: Cells, memory: RowMemory, chosen: SpanCodes): GroupFit {
  const { codes, levels, zero, scale, offset, groupSize, size } = cells;
  const { direction: directionVector, moved: movedVector, pull: pullVector } = memory.vectors;
  const [pull, values, direction, moved] = [
    pullVector.values,
    memory.vectors.values.values,
    directionVector.values,
    movedVector.values,
  ];
  // One of each for all groups: a span has dozens of fits, and there are millions of spans.
  const slopes: Slopes = { s: 0, o: 0, ss: 0, so: 0, oo: 0 };
  const best: Best = { gain: 0, scale: 0, offset: 0 };

  function takeSlopes(group: number): void {
    const first = group * groupSize;
    const last = Math.min(size, first + groupSize);
    direction.fill(0, last, last + STRIDE);
    const level = zero[group];
    for (let j = first; j < last; j++) direction[j] = levels[codes[j]] - level;
    memory.multiplyPart(directionVector, movedVector, first, last);
    let s = 0;
    let o = 0;
    let ss = 0;
    let so = 0;
    for (let j = first; j < last; j++) {
      s += direction[j] * pull[j];
      o += pull[j];
      ss += direction[j] * moved[j];
      so += moved[j];
    }
    slopes.s = s;
    slopes.o = o;
    slopes.ss = ss;
    slopes.so = so;
    slopes.oo = sums[group];
  }

  /** Gives the group other numbers; its codes stay. */
  function move(group: number, newScale: number, newOffset: number, newZero: number): void {
    const first = group * groupSize;
    const last = Math.min(size, first + groupSize);
    scale[group] = newScale;
    offset[group] = newOffset;
    zero[group] = newZero;
    direction.fill(0, last, last + STRIDE);
    for (let j = first; j < last; j++) {
      const value = (levels[codes[j]] - newZero) * newScale + newOffset;
      direction[j] = values[j] - value;
      values[j] = value;
    }
    memory.addRows(pullVector, directionVector, first, last);
    chosen.renew(group);
  }

  function refitScale(group: number): number {
    takeSlopes(group);
    const { s, o, ss, so, oo } = slopes;
    best.gain = 0;
    best.scale = scale[group];
    best.offset = offset[group];
    if (ss > 0) consider(group, s / ss, 0);
    if (cells.hasOffset) {
      const determinant = ss * oo - so * so;
      if (determinant > DISTINCT * ss * oo)
        consider(group, (s * oo - o * so) / determinant, (o * ss - s * so) / determinant);
      if (oo > 0) consider(group, 0, o / oo);
    }
    if (best.gain > 0) move(group, best.scale, best.offset, zero[group]);
    return best.gain;
  }

  /** Changes of scale and offset that would be best could any number be stored. */
  function consider(group: number, scaleChange: number, offsetChange: number): void {
    const newScale = scaleChange === 0 ? scale[group] : cells.scaleNear(group, scale[group] + scaleChange);
    const newOffset =
      offsetChange === 0 ? offset[group] : cells.offsetNear(group, offset[group] + offsetChange);
    const gain = gainOf(slopes, newScale - scale[group], newOffset - offset[group]);
    if (gain <= best.gain) return;
    best.gain = gain;
    best.scale = newScale;
    best.offset = newOffset;
  }

  /** The zero point one up or down. */
  function refitZero(group: number, mostZero: number): number {
    const first = group * groupSize;
    const last = Math.min(size, first + groupSize);
    let pulled = 0;
    for (let j = first; j < last; j++) pulled += pull[j];
    const change = -Math.sign(pulled * scale[group]);
    const wish = zero[group] + change;
    if (wish < 0 || wish > mostZero) return 0;
    const step = -change * scale[group];
    const gain = step * (2 * pulled - step * sums[group]);
    if (gain <= 0) return 0;
    move(group, scale[group], offset[group], wish);
    return gain;
  }

  return (group) => refitScale(group) + (cells.mostZero === null ? 0 : refitZero(group, cells.mostZero));
}

function gainOf({ s, o, ss, so, oo }: Slopes, scale: number, offset: number): number {
  return 2 * (scale * s + offset * o) - (scale * scale * ss + 2 * scale * offset * so + offset * offset * oo);
}
