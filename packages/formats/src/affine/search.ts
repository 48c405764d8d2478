/**
 * @file The range of a group that leaves the least weighted squared error. Covering every weight is rarely best: at few bits a
 * narrower range clips some weights and codes all others finer. A grid of narrower ranges, each with the zero points next to
 * its own, is tried; for the codes of each, the scale of least error is known in closed form,
 *
 *     s = sum c w k / sum c k^2,   error = sum c w^2 - 2 s sum c w k + s^2 sum c k^2,   k = code - zero,
 *
 * as in llama.cpp's k-quants, with the scale rounded to what is stored. Coding with that scale can only lower the error further.
 */
import { nearestScale, ROUND_TO_INTEGER } from './scale.js';
import type { AffineSpec, ScaleType } from './types.js';

/** Scale and zero point of a group. */
export interface Fit {
  scale: number;
  zero: number;
}

/** A group of a row, with what errors weigh in its columns. */
export interface Group {
  readonly values: Float32Array;
  readonly start: number;
  readonly count: number;
  readonly weights: Float32Array;
  readonly firstColumn: number;
}

/** The narrowest range tried, relative to the whole one, and the number of steps to it; by bits. */
const grids: readonly (readonly [narrowest: number, steps: number])[] = [
  [1, 1],
  [0.3, 8],
  [0.4, 6],
  [0.5, 6],
  [0.64, 5],
  [0.76, 4],
  [0.84, 3],
  [0.9, 2],
  [0.95, 1],
];

/** How often the best found is coded anew with its own scale. */
const REFITS = 2;

/** Up to these bits the zero points on both sides of a range's own are tried; with more, one is as good as the other. */
const FEW_BITS = 5;

/** Sums over a group with its codes: of c w k and of c k^2. */
const sums = { cross: 0, squares: 0 };

/** Of the group at hand: sum c w^2, and the least error found. */
const best = { energy: 0, error: 0 };

/** Improves on `fit`, which covers the range from `lo` to `hi`, where a narrower range has less error. */
export function searchRange(
  group: Group,
  { bits, symmetry, scaleType }: AffineSpec,
  lo: number,
  hi: number,
  fit: Fit,
): void {
  const top = (1 << bits) - 1;
  best.energy = weightedSquares(group);
  if (best.energy === 0) return;
  best.error = plainError(group, fit, top);
  const symmetric = symmetry === 'symmetric';
  const whole = symmetric ? 2 * Math.max(hi, -lo) : hi - lo;
  const exactZero = symmetric ? fit.zero : (-lo / whole) * top;
  const bothSides = bits <= FEW_BITS;
  const first = bothSides ? Math.floor(exactZero) : Math.round(exactZero);
  const last = bothSides ? Math.ceil(exactZero) : first;
  const [narrowest, steps] = grids[bits];
  for (let step = 0; step <= steps; step++) {
    const scale = (whole * (1 - ((1 - narrowest) * step) / steps)) / top;
    for (let zero = first; zero <= last; zero++) attempt(group, top, scaleType, scale, zero, fit);
  }
  for (let refit = 0; refit < REFITS; refit++) attempt(group, top, scaleType, fit.scale, fit.zero, fit);
}

/** Takes the scale of least error for the codes that `scale` and `zero` give, if it is the best so far. */
function attempt(
  group: Group,
  top: number,
  scaleType: ScaleType,
  scale: number,
  zero: number,
  fit: Fit,
): void {
  sumWithCodes(group, scale, zero, top);
  const { cross, squares } = sums;
  if (!(cross > 0)) return;
  const refit = nearestScale(cross / squares, scaleType);
  const error = best.energy - 2 * refit * cross + refit * refit * squares;
  if (!(error < best.error) || refit === Infinity) return;
  best.error = error;
  fit.scale = refit;
  fit.zero = zero;
}

function weightedSquares({ values, start, count, weights, firstColumn }: Group): number {
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const value = values[start + i];
    sum += weights[firstColumn + i] * value * value;
  }
  return sum;
}

function plainError(
  { values, start, count, weights, firstColumn }: Group,
  { scale, zero }: Fit,
  top: number,
): number {
  const most = top - zero;
  const least = -zero;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const value = values[start + i];
    let code = value / scale + ROUND_TO_INTEGER - ROUND_TO_INTEGER;
    if (code > most) code = most;
    else if (code < least) code = least;
    const error = value - code * scale;
    sum += weights[firstColumn + i] * error * error;
  }
  return sum;
}

function sumWithCodes(
  { values, start, count, weights, firstColumn }: Group,
  scale: number,
  zero: number,
  top: number,
): void {
  const inverse = 1 / scale;
  const most = top - zero;
  const least = -zero;
  let cross = 0;
  let squares = 0;
  for (let i = 0; i < count; i++) {
    const value = values[start + i];
    let code = value * inverse + ROUND_TO_INTEGER - ROUND_TO_INTEGER;
    if (code > most) code = most;
    else if (code < least) code = least;
    const weighted = weights[firstColumn + i] * code;
    cross += weighted * value;
    squares += weighted * code;
  }
  sums.cross = cross;
  sums.squares = squares;
}
