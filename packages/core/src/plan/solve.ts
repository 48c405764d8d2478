/**
 * @file The planner's optimiser: the least loss of a whole plan within a number of bytes. Prices are losses of tensors by themselves.
 * Together they lose more: what one tensor gets wrong, the others carry on, and only the output head's error meets no
 * other. With S the sum of all prices and D the sum of those but the head's, loss = S + bend(D): about b D^2, with b = 1.6 per nat
 * where plans lose up to 0.3 nats, and 0.4 where they lose nats (docs/benchmarks.md, Importance).
 *
 * Near a plan this is a sum again: one more nat of the body's counts 1 + bend'(D). So prices are weighed as the last plan says
 * and the sum is solved anew, until the plan stays. The bend lies above its tangents, so that the bound of the weighed sum
 * bounds the loss. Without a head of its own a model needs none of it: the least sum is the least loss.
 */
import {
  type KnapsackChoice,
  leastSumOf,
  type ReadyChoices,
  readyChoices,
  type Solution,
} from './least-sum.js';
import { type PriceSums, priceSumsOf } from './price-sums.js';

export type { KnapsackChoice, Solution } from './least-sum.js';

/** Per nat, as long as the slope is below its limit. */
const BEND = 1.5;
/** Steeper than that it never was at plans of a usual size, on models of either kind. */
const MOST_SLOPE = 0.5;
/** Partial plans made for a first plan. */
const ROUGH_WORK = 20_000;
/** Weights that differ by so little give the same plan. */
const SETTLED = 1e-3;
/** Plans repeat after one or two. */
const MOST_ROUNDS = 5;

/**
 * Picks one candidate a choice so that the bytes fit `capacityBytes` and the loss of all together is least. Ties go to fewer
 * bytes, then to the earlier candidate. `klNats` is the plain sum of prices, `gap` what may still be gained of the loss.
 * @param capacityBytes bytes that all candidates together may take (the file's header not among them)
 * @throws BitsmithError `BUDGET_IMPOSSIBLE` when even the smallest candidates do not fit.
 */
export function solve(
  choices: readonly KnapsackChoice[],
  capacityBytes: number,
  options: { workLimit?: number } = {},
): Solution {
  const ready = readyChoices(choices);
  if (!choices.some(({ direct }) => direct === true)) return leastSumOf(ready, capacityBytes, options);
  const plan = roughPlan(ready, capacityBytes, options);
  const slope = slopeAt(plan.bodySum);
  const known = plan.picked;
  const weights = weightsOf(choices, 1 + slope);
  const solution = leastSumOf(ready, capacityBytes, { ...options, known, weights });
  const bound = solution.lowerBound + bendAt(plan.bodySum) - slope * plan.bodySum;
  const found = withLoss(choices, solution);
  const { picked, bytes, priceSum: klNats, loss: least } = found.loss <= plan.loss ? found : plan;
  const gap = least > 0 ? Math.max(0, (least - bound) / least) : 0;
  const { natsPerByte } = solution;
  return { picked, bytes, klNats, natsPerByte, gap, lowerBound: klNats * (1 - gap) };
}

/** A plan with what it loses. */
interface LossyPlan extends Pick<Solution, 'picked' | 'bytes'>, PriceSums {
  readonly loss: number;
}

function withLoss(choices: readonly KnapsackChoice[], { picked, bytes }: Solution): LossyPlan {
  const sums = priceSumsOf(choices, picked);
  return { picked, bytes, ...sums, loss: lossOf(sums) };
}

/** A good plan at little work: what it loses tells how prices are to be weighed. */
function roughPlan(
  ready: ReadyChoices,
  capacityBytes: number,
  { workLimit = ROUGH_WORK }: { workLimit?: number },
): LossyPlan {
  const { choices } = ready;
  const options = { workLimit: Math.min(workLimit, ROUGH_WORK) };
  let best = withLoss(choices, leastSumOf(ready, capacityBytes, options));
  for (let round = 0, slope = 0; round < MOST_ROUNDS; round++) {
    const next = slopeAt(best.bodySum);
    if (Math.abs(next - slope) < SETTLED * (1 + slope)) break;
    slope = next;
    const weights = weightsOf(choices, 1 + slope);
    const solution = leastSumOf(ready, capacityBytes, { ...options, weights, known: best.picked });
    const plan = withLoss(choices, solution);
    if (plan.loss > best.loss) break;
    best = plan;
  }
  return best;
}

/** What is near a plan a sum: every choice with what its candidates add to the loss of that plan. */
export interface NearPlan<NearChoice extends KnapsackChoice> {
  readonly choices: readonly NearChoice[];
  /** Loss of the plan itself, in nats. */
  readonly klNats: number;
  /** What a nat of the body's counts there; one of the head's counts 1. */
  readonly bodyWeight: number;
}

/** @param picked the plan, as an index into every choice's candidates */
export function pricesNear<NearChoice extends KnapsackChoice>(
  choices: readonly NearChoice[],
  picked: readonly number[],
): NearPlan<NearChoice> {
  const sums = priceSumsOf(choices, picked);
  if (!choices.some(({ direct }) => direct === true))
    return { choices, klNats: sums.priceSum, bodyWeight: 1 };
  const bodyWeight = 1 + slopeAt(sums.bodySum);
  return { choices: weighed(choices, bodyWeight), klNats: lossOf(sums), bodyWeight };
}

function lossOf({ priceSum, bodySum }: PriceSums): number {
  return priceSum + bendAt(bodySum);
}

/** What one more nat of the body's loses more than itself, where the body loses so much. */
export function slopeAt(through: number): number {
  return Math.min(2 * BEND * through, MOST_SLOPE);
}

/** The slope, summed up from zero. */
function bendAt(through: number): number {
  const straight = MOST_SLOPE / (2 * BEND);
  const curved = Math.min(through, straight);
  return BEND * curved ** 2 + MOST_SLOPE * (through - curved);
}

function weightsOf(choices: readonly KnapsackChoice[], weight: number): readonly number[] {
  return choices.map(({ direct }) => (direct === true ? 1 : weight));
}

function weighed<Weighed extends KnapsackChoice>(
  choices: readonly Weighed[],
  weight: number,
): readonly Weighed[] {
  return choices.map((choice) =>
    choice.direct === true
      ? choice
      : {
          ...choice,
          candidates: choice.candidates.map((candidate) => ({
            ...candidate,
            klNats: weight * candidate.klNats,
          })),
        },
  );
}
