/**
 * @file The whole walk along the hulls, without a capacity. Each of its corners is a plan, and no plan of as many bytes is
 * better: the curve of bytes against cost for all budgets at once. Steps of choices that are amplified weigh more the more is
 * lost where the walk stands; where nothing is amplified that is the order of the relaxation.
 */
import { frontierOf, type KnapsackItem } from './frontier.js';
import { type HullSteps, sortedSteps } from './relaxation.js';

/** Plans from the smallest to the costless: bytes ascending, cost descending. */
export interface HullWalk {
  readonly bytes: Float64Array;
  readonly cost: Float64Array;
  /** Of that, what is amplified. */
  readonly amplifiedCost: Float64Array;
}

interface WalkedChoice {
  readonly candidates: readonly KnapsackItem[];
  /** True where nothing amplifies its error. */
  readonly direct?: boolean;
}

/** @param slopeAt what a nat of the amplified choices counts more than one of the others, by the sum of their nats */
export function hullWalk(choices: readonly WalkedChoice[], slopeAt: (through: number) => number): HullWalk {
  const frontiers = choices.map(({ candidates }) => frontierOf(candidates));
  const steps = sortedSteps(frontiers);
  const amplified = Uint8Array.from(steps.choice, (choice) => (choices[choice].direct === true ? 0 : 1));
  const bytes = new Float64Array(steps.choice.length + 1);
  const cost = new Float64Array(steps.choice.length + 1);
  const amplifiedCost = new Float64Array(steps.choice.length + 1);
  for (const [choice, frontier] of frontiers.entries()) {
    bytes[0] += frontier.bytes[0];
    cost[0] += frontier.cost[0];
    if (choices[choice].direct !== true) amplifiedCost[0] += frontier.cost[0];
  }
  const heads = [nextOf(amplified, 1, 0), nextOf(amplified, 0, 0)];
  for (let corner = 0; corner < steps.choice.length; corner++) {
    const lane = steeper(steps, heads, 1 + slopeAt(amplifiedCost[corner]));
    const step = heads[lane];
    heads[lane] = nextOf(amplified, lane === 0 ? 1 : 0, step + 1);
    bytes[corner + 1] = bytes[corner] + steps.bytes[step];
    // What rounding leaves where everything is kept is nothing.
    cost[corner + 1] = Math.max(0, cost[corner] + steps.cost[step]);
    amplifiedCost[corner + 1] = Math.max(0, amplifiedCost[corner] + (lane === 0 ? steps.cost[step] : 0));
  }
  return { bytes, cost, amplifiedCost };
}

/** The first step from `start` on that is amplified or not. */
function nextOf(amplified: Uint8Array, wanted: 0 | 1, start: number): number {
  const found = amplified.indexOf(wanted, start);
  return found < 0 ? amplified.length : found;
}

/** Which of the two next steps saves more for a byte: the amplified one (0) or the other (1). */
function steeper({ slope }: HullSteps, [first, second]: readonly number[], weight: number): 0 | 1 {
  if (second >= slope.length) return 0;
  if (first >= slope.length) return 1;
  return slope[first] * weight >= slope[second] ? 0 : 1;
}
