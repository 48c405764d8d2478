/**
 * @file The whole walk along the hulls, without a capacity. Each of its corners is a plan, and no plan of as many bytes is
 * better: the curve of bytes against cost for all budgets at once.
 */
import { frontierOf, type KnapsackItem } from './frontier.js';
import { sortedSteps } from './relaxation.js';

/** Plans from the smallest to the costless: bytes ascending, cost descending. */
export interface HullWalk {
  readonly bytes: Float64Array;
  readonly cost: Float64Array;
}

export function hullWalk(choices: readonly { readonly candidates: readonly KnapsackItem[] }[]): HullWalk {
  const frontiers = choices.map(({ candidates }) => frontierOf(candidates));
  const steps = sortedSteps(frontiers);
  const bytes = new Float64Array(steps.choice.length + 1);
  const cost = new Float64Array(steps.choice.length + 1);
  bytes[0] = frontiers.reduce((sum, frontier) => sum + frontier.bytes[0], 0);
  cost[0] = frontiers.reduce((sum, frontier) => sum + frontier.cost[0], 0);
  for (let step = 0; step < steps.choice.length; step++) {
    bytes[step + 1] = bytes[step] + steps.bytes[step];
    // What rounding leaves where everything is kept is nothing.
    cost[step + 1] = Math.max(0, cost[step] + steps.cost[step]);
  }
  return { bytes, cost };
}
