/**
 * @file What is worth considering of one choice: the candidates that no other beats in both bytes and cost, and among them
 * those on the lower convex hull, the only ones that a relaxed (divisible) knapsack would use.
 */

/** A candidate as the solver sees it. */
export interface KnapsackItem {
  readonly bytes: number;
  readonly klNats: number;
}

/** The undominated candidates of one choice: bytes ascending, cost strictly descending. */
export interface Frontier {
  readonly bytes: readonly number[];
  readonly cost: readonly number[];
  /** Index of each in the list that was given. */
  readonly index: readonly number[];
  /** Positions (into the arrays above) of the hull's corners, first and last included; slopes strictly flatten. */
  readonly hull: readonly number[];
  /** Cost saved per byte by each step from one corner to the next. */
  readonly slopes: readonly number[];
}

/** Ties go to fewer bytes, then to the earlier candidate. */
export function frontierOf(items: readonly KnapsackItem[]): Frontier {
  const order = items.map((_, index) => index);
  order.sort((a, b) => items[a].bytes - items[b].bytes || items[a].klNats - items[b].klNats || a - b);
  const kept: number[] = [];
  let best = Infinity;
  for (const index of order) {
    if (items[index].klNats >= best) continue;
    best = items[index].klNats;
    kept.push(index);
  }
  const bytes = kept.map((index) => items[index].bytes);
  const cost = kept.map((index) => items[index].klNats);
  const hull = lowerHull(bytes, cost);
  const slopes = hull.slice(1).map((to, corner) => slope(bytes, cost, hull[corner], to));
  return { bytes, cost, index: kept, hull, slopes };
}

/** The same choice with all its costs so many times as high. Slopes are scaled, not computed anew: their order stays. */
export function scaled(frontier: Frontier, factor: number): Frontier {
  if (factor === 1) return frontier;
  const times = (value: number): number => value * factor;
  return { ...frontier, cost: frontier.cost.map(times), slopes: frontier.slopes.map(times) };
}

/** Nats saved per byte when going from one position to a later one. */
function slope(bytes: readonly number[], cost: readonly number[], from: number, to: number): number {
  return (cost[from] - cost[to]) / (bytes[to] - bytes[from]);
}

/** Andrew's monotone chain, on computed slopes, so that later comparisons of the same slopes agree with it. */
function lowerHull(bytes: readonly number[], cost: readonly number[]): readonly number[] {
  const hull: number[] = [];
  for (let position = 0; position < bytes.length; position++) {
    while (
      hull.length >= 2 &&
      slope(bytes, cost, hull[hull.length - 2], hull[hull.length - 1]) <=
        slope(bytes, cost, hull[hull.length - 1], position)
    ) {
      hull.pop();
    }
    hull.push(position);
  }
  return hull;
}
