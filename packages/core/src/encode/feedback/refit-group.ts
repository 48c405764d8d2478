/**
 * @file The numbers of one group, at what is best where its codes and all else stay: scale and offset together by least squares under the
 * metric, each alone, and the zero point one step aside, all as the format can store them.
 */
import { STRIDE } from '@bitsmith/ggml';
import type { Cells } from './cells.js';
import type { SpanCodes } from './span-codes.js';
import type { SpanMemory } from './span-memory.js';
import type { SpanMetric } from './span-metric.js';

/** Refits a group; returns what that gained, 0 where it stays as it is. */
export type GroupFit = (group: number) => number;

/** What moving a group's weights along its levels (s) and all alike (o) would change of the loss. */
interface Slopes {
  readonly s: number;
  readonly o: number;
  readonly ss: number;
  readonly so: number;
  readonly oo: number;
}

/** Below this the levels of a group are as good as constant: scale and offset cannot be told apart. */
const DISTINCT = 1e-6;

export function refitGroup(
  metric: SpanMetric,
  cells: Cells,
  memory: SpanMemory,
  chosen: SpanCodes,
): GroupFit {
  const { matrix, stride } = metric;
  const { codes, levels, zero, scale, offset, groupSize, size } = cells;
  const { pull, values, direction, moved } = memory.vectors;
  const sums = Float64Array.from(scale, (_, group) => sumOfGroup(group));

  function sumOfGroup(group: number): number {
    const [first, last] = boundsOf(group);
    let sum = 0;
    for (let j = first; j < last; j++) for (let k = first; k < last; k++) sum += matrix[j * stride + k];
    return sum;
  }

  function boundsOf(group: number): [number, number] {
    return [group * groupSize, Math.min(size, (group + 1) * groupSize)];
  }

  function slopesOf(group: number): Slopes {
    const [first, last] = boundsOf(group);
    direction.values.fill(0, last, last + STRIDE);
    for (let j = first; j < last; j++) direction.values[j] = levels[codes[j]] - zero[group];
    memory.multiplyPart(direction, moved, first, last);
    let [s, o, ss, so] = [0, 0, 0, 0];
    for (let j = first; j < last; j++) {
      s += direction.values[j] * pull.values[j];
      o += pull.values[j];
      ss += direction.values[j] * moved.values[j];
      so += moved.values[j];
    }
    return { s, o, ss, so, oo: sums[group] };
  }

  /** Gives the group other numbers; its codes stay. */
  function move(group: number, newScale: number, newOffset: number, newZero: number): void {
    const [first, last] = boundsOf(group);
    scale[group] = newScale;
    offset[group] = newOffset;
    zero[group] = newZero;
    direction.values.fill(0, last, last + STRIDE);
    for (let j = first; j < last; j++) {
      const value = (levels[codes[j]] - newZero) * newScale + newOffset;
      direction.values[j] = values.values[j] - value;
      values.values[j] = value;
    }
    memory.addRows(pull, direction, first, last);
    chosen.renew(group);
  }

  function refitScale(group: number): number {
    const slopes = slopesOf(group);
    let [best, bestScale, bestOffset] = [0, scale[group], offset[group]];
    for (const [s, o] of wishesOf(slopes, cells.hasOffset)) {
      const newScale = s === 0 ? scale[group] : cells.scaleNear(group, scale[group] + s);
      const newOffset = o === 0 ? offset[group] : cells.offsetNear(group, offset[group] + o);
      const gain = gainOf(slopes, newScale - scale[group], newOffset - offset[group]);
      if (gain > best) [best, bestScale, bestOffset] = [gain, newScale, newOffset];
    }
    if (best > 0) move(group, bestScale, bestOffset, zero[group]);
    return best;
  }

  /** The zero point one up or down. */
  function refitZero(group: number, mostZero: number): number {
    const [first, last] = boundsOf(group);
    let pulled = 0;
    for (let j = first; j < last; j++) pulled += pull.values[j];
    const change = -Math.sign(pulled * scale[group]);
    const wish = zero[group] + change;
    if (wish < 0 || wish > mostZero) return 0;
    const moved = -change * scale[group];
    const gain = moved * (2 * pulled - moved * sums[group]);
    if (gain <= 0) return 0;
    move(group, scale[group], offset[group], wish);
    return gain;
  }

  return (group) => refitScale(group) + (cells.mostZero === null ? 0 : refitZero(group, cells.mostZero));
}

/** Changes of scale and offset that would be best could any number be stored: both, and each alone. */
function wishesOf({ s, o, ss, so, oo }: Slopes, hasOffset: boolean): [number, number][] {
  const wishes: [number, number][] = ss > 0 ? [[s / ss, 0]] : [];
  if (!hasOffset) return wishes;
  const determinant = ss * oo - so * so;
  if (determinant > DISTINCT * ss * oo)
    wishes.push([(s * oo - o * so) / determinant, (o * ss - s * so) / determinant]);
  if (oo > 0) wishes.push([0, o / oo]);
  return wishes;
}

function gainOf({ s, o, ss, so, oo }: Slopes, scale: number, offset: number): number {
  return 2 * (scale * s + offset * o) - (scale * scale * ss + 2 * scale * offset * so + offset * offset * oo);
}
