/**
 * @file The relaxed knapsack: with divisible steps the best plan walks the hulls of all choices in order of nats saved per
 * byte until the capacity is full (Sinha and Zoltners, "The multiple-choice knapsack problem", 1979). That gives the
 * exchange rate between bytes and nats (the Lagrange multiplier), a bound that no real plan beats, and, with the steps that
 * still fit, a first real plan. Choices may be decided beforehand: the rest is relaxed around them.
 */
import type { Frontier } from './frontier.js';

/** Stands for the position of a choice that is not decided yet. */
export const FREE = -1;

export interface Relaxation {
  /** Position of every choice where the walk met its first step that did not fit. */
  readonly base: Int32Array;
  readonly baseBytes: number;
  readonly baseCost: number;
  /** Nats per byte at that point; 0 when everything fits. */
  readonly rate: number;
  /** The step that did not fit; null when everything fits. */
  readonly breakStep: { readonly choice: number; readonly bytes: number } | null;
  /** No plan within the capacity costs less. */
  readonly lowerBound: number;
  /** A plan within the capacity: the base plus every later step that fits. */
  readonly greedy: { readonly positions: Int32Array; readonly cost: number };
}

/** The hull steps of all choices in the order of the walk: steepest first; ties by choice, then along the hull. */
export interface HullSteps {
  readonly choice: Int32Array;
  /** Index into the choice's hull of the step's start. */
  readonly corner: Int32Array;
  readonly slope: Float64Array;
  /** Bytes and cost more after the step. */
  readonly bytes: Float64Array;
  readonly cost: Float64Array;
  /** Bytes of a typical step; 0 without steps. */
  readonly medianBytes: number;
}

/**
 * Relaxes what is free.
 * @param fixed position of every decided choice, `FREE` for the others
 * @returns null when even the smallest candidates do not fit
 */
export function relax(
  frontiers: readonly Frontier[],
  capacity: number,
  steps: HullSteps,
  fixed: Int32Array,
): Relaxation | null {
  const walk = startOf(frontiers, fixed);
  if (walk.bytes > capacity) return null;
  let base: Omit<Relaxation, 'greedy'> | null = null;
  for (let step = 0; step < steps.choice.length; step++) {
    const choice = steps.choice[step];
    if (fixed[choice] !== FREE || walk.corner[choice] !== steps.corner[step]) continue;
    const moreBytes = steps.bytes[step];
    if (walk.bytes + moreBytes > capacity) {
      base ??= {
        base: positionsOf(frontiers, walk.corner, fixed),
        baseBytes: walk.bytes,
        baseCost: walk.cost,
        rate: steps.slope[step],
        breakStep: { choice, bytes: moreBytes },
        lowerBound: walk.cost - steps.slope[step] * (capacity - walk.bytes),
      };
      continue;
    }
    walk.bytes += moreBytes;
    walk.cost += steps.cost[step];
    walk.corner[choice]++;
  }
  const { bytes: baseBytes, cost } = walk;
  const positions = positionsOf(frontiers, walk.corner, fixed);
  base ??= { base: positions, baseBytes, baseCost: cost, rate: 0, breakStep: null, lowerBound: cost };
  return { ...base, greedy: { positions, cost } };
}

/** Where the walk begins: everything at its smallest, but for what is decided. */
function startOf(
  frontiers: readonly Frontier[],
  fixed: Int32Array,
): { corner: Int32Array; bytes: number; cost: number } {
  let bytes = 0;
  let cost = 0;
  for (let choice = 0; choice < frontiers.length; choice++) {
    const position = fixed[choice] === FREE ? 0 : fixed[choice];
    bytes += frontiers[choice].bytes[position];
    cost += frontiers[choice].cost[position];
  }
  return { corner: new Int32Array(frontiers.length), bytes, cost };
}

function positionsOf(frontiers: readonly Frontier[], corner: Int32Array, fixed: Int32Array): Int32Array {
  return Int32Array.from(frontiers, ({ hull }, choice) =>
    fixed[choice] === FREE ? hull[corner[choice]] : fixed[choice],
  );
}

export function sortedSteps(frontiers: readonly Frontier[]): HullSteps {
  const count = frontiers.reduce((sum, { hull }) => sum + hull.length - 1, 0);
  const choices = new Int32Array(count);
  const corners = new Int32Array(count);
  const [slopes, bytes, cost] = [new Float64Array(count), new Float64Array(count), new Float64Array(count)];
  let next = 0;
  for (let choice = 0; choice < frontiers.length; choice++) {
    const { bytes: sizes, cost: costs, hull, slopes: falls } = frontiers[choice];
    for (let corner = 0; corner + 1 < hull.length; corner++, next++) {
      const [from, to] = [hull[corner], hull[corner + 1]];
      choices[next] = choice;
      corners[next] = corner;
      slopes[next] = falls[corner];
      bytes[next] = sizes[to] - sizes[from];
      cost[next] = costs[to] - costs[from];
    }
  }
  const order = steepestFirst(slopes);
  return {
    choice: order.map((step) => choices[step]),
    corner: order.map((step) => corners[step]),
    slope: inOrder(slopes, order),
    bytes: inOrder(bytes, order),
    cost: inOrder(cost, order),
    medianBytes: count === 0 ? 0 : bytes.toSorted()[count >> 1],
  };
}

function inOrder(values: Float64Array, order: Int32Array): Float64Array {
  const ordered = new Float64Array(values.length);
  for (let place = 0; place < values.length; place++) ordered[place] = values[order[place]];
  return ordered;
}

/**
 * Indices by falling slope, equal ones in order. Numbers alone sort many times faster than with a comparison of our own; each
 * index then finds its place among them.
 */
function steepestFirst(slopes: Float64Array): Int32Array {
  const sorted = slopes.toSorted();
  const taken = new Int32Array(slopes.length);
  const order = new Int32Array(slopes.length);
  for (let index = 0; index < slopes.length; index++) {
    const steeper = slopes.length - countUpTo(sorted, slopes[index]);
    order[steeper + taken[steeper]++] = index;
  }
  return order;
}

/** How many of ascending values are at most `value`. */
function countUpTo(ascending: Float64Array, value: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
