/**
 * @file Size against predicted loss, for every budget at once. The relaxation's walk gives the curve at no cost: each of its
 * corners is the best plan of its size. Where a size is printed, its plan is solved for exactly. Totals are read through the
 * fit of the model at hand, where there is one.
 */
import { bytesRange } from './bytes.js';
import { type CouplingGroup, mergeCoupled, type MergedChoice } from './coupling.js';
import { hullWalk } from './knapsack/hull-walk.js';
import type { DataRange } from './options.js';
import { type PriceSums, priceSumsOf } from './price-sums.js';
import { slopeAt, solve } from './solve.js';
import type { Choice } from './types.js';

/** Reads sums of prices as the loss of a whole plan, in nats per token; with an interval where one is known. */
export type ReadTotal = (sums: PriceSums) => PredictedTotal;

export interface PredictedTotal {
  readonly klNats: number;
  /** 90 % of plans lie between; null where no fit says so. */
  readonly low: number | null;
  readonly high: number | null;
}

export interface ParetoInput {
  readonly choices: readonly Choice[];
  readonly groups?: readonly CouplingGroup[];
  readonly headerBytes: number;
  readonly parameterCount: number;
  /** Default: plain sums. */
  readonly readTotal?: ReadTotal;
  /** Plans made elsewhere, to be put beside the curve. */
  readonly presets?: readonly NamedPlan[];
}

/** A plan with a name: the scheme of every tensor, and the bytes of the file. */
export interface NamedPlan {
  readonly name: string;
  readonly bytes: number;
  readonly schemes: ReadonlyMap<string, string>;
}

/** A plan on the curve. */
export interface ParetoPoint extends PredictedTotal, PriceSums {
  /** Bytes of the whole file: what `--size` would ask for to get this plan. */
  readonly bytes: number;
  /** Stored bits of all tensors by the number of weights. */
  readonly bitsPerWeight: number;
}

/** A plan that was solved for. */
export interface SolvedPoint extends ParetoPoint {
  /** No plan of these bytes has a lower sum of prices. */
  readonly lowerBound: number;
  /** (priceSum - lowerBound) / priceSum. */
  readonly gap: number;
}

export interface PresetPoint {
  readonly name: string;
  readonly bytes: number;
  readonly bitsPerWeight: number;
  /** Null where some tensor was not priced in the preset's scheme. */
  readonly priceSum: number | null;
  readonly klNats: number | null;
  /** The best plan within the same bytes; null where none fits, which a lock or a floor may cause. */
  readonly plan: SolvedPoint | null;
}

export interface ParetoCurve {
  /** Exact plans at common sizes, smallest first. */
  readonly points: readonly SolvedPoint[];
  /** Corners of the relaxation, smallest first: the best plans of their sizes. Thinned where there are thousands. */
  readonly curve: readonly ParetoPoint[];
  /** Smallest first. */
  readonly presets: readonly PresetPoint[];
}

/** Bits per weight at which plans are printed, where the model can be made as small. */
const COMMON_BITS = [2, 2.25, 2.5, 2.75, 3, 3.25, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8];
const FEWEST_SIZES = 6;
const MOST_CORNERS = 400;

/** Prices the whole curve. A pure function: one measurement, all budgets. */
export function paretoCurve(input: ParetoInput): ParetoCurve {
  const { choices, groups = [], presets = [] } = input;
  const merged = mergeCoupled(choices, groups);
  return {
    points: commonPoints(merged, input),
    curve: corners(merged, input),
    presets: presets
      .map((preset) => presetPoint(preset, merged, input))
      .toSorted((a, b) => a.bytes - b.bytes),
  };
}

/**
 * The sizes that the curve is printed at, the smallest first: common bits per weight, or even steps where locks leave few of
 * those.
 * @returns bytes of all tensors
 */
export function printedSizes({ smallestBytes, largestBytes }: DataRange, parameterCount: number): number[] {
  const common = COMMON_BITS.map((bits) => Math.floor((bits * parameterCount) / 8)).filter(
    (bytes) => bytes > smallestBytes && bytes < largestBytes,
  );
  if (common.length >= FEWEST_SIZES) return [smallestBytes, ...common, largestBytes];
  const step = (largestBytes - smallestBytes) / FEWEST_SIZES;
  return Array.from({ length: FEWEST_SIZES + 1 }, (_, index) => Math.floor(smallestBytes + index * step));
}

function commonPoints(merged: readonly MergedChoice[], input: ParetoInput): readonly SolvedPoint[] {
  const points: SolvedPoint[] = [];
  const [smallestBytes, largestBytes] = bytesRange(merged);
  for (const size of printedSizes({ smallestBytes, largestBytes }, input.parameterCount)) {
    const point = solvedPoint(merged, size, input);
    // From where nothing is lost, larger files are the same file.
    if (point.bytes !== points.at(-1)?.bytes) points.push(point);
    if (point.priceSum === 0) break;
  }
  return points;
}

function solvedPoint(merged: readonly MergedChoice[], dataBytes: number, input: ParetoInput): SolvedPoint {
  const { bytes, picked, lowerBound, gap } = solve(merged, dataBytes);
  return { ...pointOf(bytes, priceSumsOf(merged, picked), input), lowerBound, gap };
}

function pointOf(dataBytes: number, sums: PriceSums, input: ParetoInput): ParetoPoint {
  const { headerBytes, parameterCount, readTotal = plainSum } = input;
  return {
    bytes: headerBytes + dataBytes,
    bitsPerWeight: (dataBytes * 8) / parameterCount,
    ...sums,
    ...readTotal(sums),
  };
}

function plainSum({ priceSum }: PriceSums): PredictedTotal {
  return { klNats: priceSum, low: null, high: null };
}

/** At most so many corners, evenly over the logarithm of size, the first and the last among them. */
function corners(merged: readonly MergedChoice[], input: ParetoInput): readonly ParetoPoint[] {
  const { bytes, cost, amplifiedCost } = hullWalk(merged, slopeAt);
  const last = bytes.length - 1;
  const step = Math.log(bytes[last] / Math.max(1, bytes[0])) / MOST_CORNERS;
  const points: ParetoPoint[] = [];
  let next = 0;
  for (let corner = 0; corner <= last; corner++) {
    const place = Math.log(bytes[corner] / Math.max(1, bytes[0]));
    if (corner < last && place < next) continue;
    const sums = { priceSum: cost[corner], bodySum: amplifiedCost[corner] };
    points.push(pointOf(bytes[corner], sums, input));
    next = place + step;
  }
  return points;
}

function presetPoint(
  { name, bytes, schemes }: NamedPlan,
  merged: readonly MergedChoice[],
  input: ParetoInput,
): PresetPoint {
  const { choices, headerBytes, parameterCount, readTotal = plainSum } = input;
  const picked = choices.map(({ tensor, candidates }) =>
    candidates.findIndex(({ scheme }) => scheme === schemes.get(tensor)),
  );
  const sums = picked.includes(-1) ? null : priceSumsOf(choices, picked);
  const fits = bytesRange(merged)[0] <= bytes - headerBytes;
  return {
    name,
    bytes,
    bitsPerWeight: ((bytes - headerBytes) * 8) / parameterCount,
    priceSum: sums?.priceSum ?? null,
    klNats: sums && readTotal(sums).klNats,
    plan: fits ? solvedPoint(merged, bytes - headerBytes, input) : null,
  };
}
