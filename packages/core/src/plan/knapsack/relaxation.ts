/**
 * @file The relaxed knapsack: with divisible steps the best plan walks the hulls of all choices in order of nats saved per
 * byte until the capacity is full (Sinha and Zoltners, "The multiple-choice knapsack problem", 1979). That gives the
 * exchange rate between bytes and nats (the Lagrange multiplier), a bound that no real plan beats, and, with the steps that
 * still fit, a first real plan.
 */
import { slope } from './frontier.js';
import type { Frontier } from './frontier.js';

export interface Relaxation {
  /** Position of every choice where the walk met its first step that did not fit. */
  readonly base: Int32Array;
  readonly baseBytes: number;
  readonly baseCost: number;
  /** Nats per byte at that point; 0 when everything fits. */
  readonly rate: number;
  /** No plan within the capacity costs less. */
  readonly lowerBound: number;
  /** A plan within the capacity: the base plus every later step that fits. */
  readonly greedy: { readonly positions: Int32Array; readonly cost: number };
}

interface Steps {
  readonly choice: Int32Array;
  /** Index into the choice's hull of the step's start. */
  readonly corner: Int32Array;
  readonly slope: Float64Array;
  readonly order: Int32Array;
}

/** The cheapest plan in bytes must fit the capacity. */
export function relax(frontiers: readonly Frontier[], capacity: number): Relaxation {
  const steps = steepestFirst(frontiers);
  const corner = new Int32Array(frontiers.length);
  let bytes = 0;
  let cost = 0;
  for (const frontier of frontiers) {
    bytes += frontier.bytes[0];
    cost += frontier.cost[0];
  }

  let base: Pick<Relaxation, 'base' | 'baseBytes' | 'baseCost' | 'rate' | 'lowerBound'> | null = null;
  for (const step of steps.order) {
    const choice = steps.choice[step];
    if (corner[choice] !== steps.corner[step]) continue;
    const { hull, bytes: sizes, cost: costs } = frontiers[choice];
    const from = hull[corner[choice]];
    const to = hull[corner[choice] + 1];
    const moreBytes = sizes[to] - sizes[from];
    if (bytes + moreBytes > capacity) {
      base ??= {
        base: positionsOf(frontiers, corner),
        baseBytes: bytes,
        baseCost: cost,
        rate: steps.slope[step],
        lowerBound: cost - steps.slope[step] * (capacity - bytes),
      };
      continue;
    }
    bytes += moreBytes;
    cost += costs[to] - costs[from];
    corner[choice]++;
  }
  const positions = positionsOf(frontiers, corner);
  base ??= { base: positions, baseBytes: bytes, baseCost: cost, rate: 0, lowerBound: cost };
  return { ...base, greedy: { positions, cost } };
}

/** Every hull step of every choice, steepest first; ties by choice, then along the hull. */
function steepestFirst(frontiers: readonly Frontier[]): Steps {
  const count = frontiers.reduce((sum, { hull }) => sum + hull.length - 1, 0);
  const choice = new Int32Array(count);
  const corner = new Int32Array(count);
  const slopes = new Float64Array(count);
  let step = 0;
  for (const [index, { bytes, cost, hull }] of frontiers.entries()) {
    for (let k = 0; k + 1 < hull.length; k++, step++) {
      choice[step] = index;
      corner[step] = k;
      slopes[step] = slope(bytes, cost, hull[k], hull[k + 1]);
    }
  }
  const order = Int32Array.from({ length: count }, (_, index) => index).sort(
    (a, b) => slopes[b] - slopes[a] || a - b,
  );
  return { choice, corner, slope: slopes, order };
}

function positionsOf(frontiers: readonly Frontier[], corner: Int32Array): Int32Array {
  return Int32Array.from(frontiers, ({ hull }, index) => hull[corner[index]]);
}
