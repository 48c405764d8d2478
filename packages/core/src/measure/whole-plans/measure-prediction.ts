/** @file The fit that turns sums of prices into expected losses of whole plans: measured on plans of the model at hand. */
import { bytesRange } from '../../plan/bytes.js';
import { type CouplingGroup, expandPicked, mergeCoupled } from '../../plan/coupling.js';
import type { StorageType } from '../../plan/schemes.js';
import type { Choice } from '../../plan/types.js';
import { type PriceSums, priceSumsOf } from '../../plan/price-sums.js';
import { solve } from '../../plan/solve.js';
import type { Work } from '../../run/events.js';
import { stage } from '../../run/work.js';
import { planVariant } from '../live/plan-variant.js';
import { type InteractionAudit, interactionNats } from './interactions.js';
import { fitKl, type KlFit, type MeasuredPlan } from './predict.js';
import { gatherVariants, type LiveMeasurement } from '../live/variants.js';

/** A plan that the fit was made with. */
export interface FittedPlan extends MeasuredPlan {
  readonly bitsPerWeight: number;
  /** Mean over the sequences. */
  readonly klNats: number;
  readonly standardError: number;
}

export interface Prediction {
  readonly fit: KlFit;
  readonly plans: readonly FittedPlan[];
}

export interface PredictionOptions {
  readonly parameterCount: number;
  /** Plans to measure; default 6. */
  readonly plans?: number;
  /** Tensors that must share a scheme; default none. */
  readonly groups?: readonly CouplingGroup[];
  readonly seed: number;
  /** Interactions that passed their tests enter the sums; null: none are known. */
  readonly interactions: InteractionAudit | null;
}

/** Bits per weight of the largest plan measured, and of the smallest: where there is loss to tell. */
const MOST_BITS = 5;
const LEAST_BITS = 2.3;
const DEFAULT_PLANS = 6;

/**
 * Measures plans spread over the sizes that people ask for, and fits a and b to them.
 * @throws BitsmithError `PREDICTION_PLANS` where the model leaves fewer than two plans apart
 */
export async function* measurePrediction(
  live: LiveMeasurement,
  choices: readonly Choice[],
  options: PredictionOptions,
): Work<Prediction> {
  return yield* stage('measure', `the loss of whole plans on ${live.text.name}`, async function* () {
    const plans = spreadPlans(choices, options);
    const variants = plans.map(({ bitsPerWeight, schemes }) =>
      planVariant(live.model, `${bitsPerWeight.toFixed(3)} bits per weight`, schemes),
    );
    const { values, cached } = yield* gatherVariants(live, variants, 'plans in the live model');
    const fitted = plans.map(({ bitsPerWeight, priceSum, bodySum }, index): FittedPlan => ({
      bitsPerWeight,
      priceSum,
      bodySum,
      klNats: values[index].klNats,
      standardError: values[index].standardError,
      sequenceKlNats: values[index].sequenceKlNats,
    }));
    const fit = fitKl(fitted, options.seed);
    const summary = `${fitted.length} plans, off by ${(100 * fit.relativeError).toFixed(1)} % where left out of the fit`;
    return { result: { fit, plans: fitted }, summary, cached };
  });
}

/** Whether the choices leave plans apart whose losses can be told from each other. */
export function canPredict(choices: readonly Choice[], options: PredictionOptions): boolean {
  return spreadPlans(choices, options).length > 1;
}

interface PricedPlan extends PriceSums {
  readonly schemes: ReadonlyMap<string, StorageType>;
  readonly bitsPerWeight: number;
}

/** Best plans by the prices at sizes in geometric steps; sizes that give the same plan count once. */
function spreadPlans(choices: readonly Choice[], options: PredictionOptions): PricedPlan[] {
  const { parameterCount, plans: count = DEFAULT_PLANS } = options;
  const [smallest] = bytesRange(choices);
  const least = Math.max(smallest, (LEAST_BITS * parameterCount) / 8);
  const most = Math.max(least, (MOST_BITS * parameterCount) / 8);
  const seen = new Set<string>();
  return Array.from(
    { length: count },
    (_, index) => least * (most / least) ** (index / Math.max(1, count - 1)),
  )
    .map((bytes) => planAt(choices, bytes, options))
    .filter(({ schemes, priceSum }) => {
      const key = JSON.stringify([...schemes]);
      if (seen.has(key) || priceSum <= 0) return false;
      seen.add(key);
      return true;
    });
}

function planAt(
  choices: readonly Choice[],
  bytes: number,
  { parameterCount, groups = [], interactions }: PredictionOptions,
): PricedPlan {
  const merged = mergeCoupled(choices, groups);
  const solution = solve(merged, bytes);
  const picked = expandPicked(choices, merged, solution.picked);
  return {
    schemes: new Map(
      choices.map(({ tensor, candidates }, index) => [
        tensor,
        candidates[picked[index]].scheme as StorageType,
      ]),
    ),
    bitsPerWeight: (solution.bytes * 8) / parameterCount,
    ...priceOfPlan(choices, picked, interactions),
  };
}

/** Sums of a plan: its prices, and what interactions that passed their tests add to both. */
export function priceOfPlan(
  choices: readonly Choice[],
  picked: readonly number[],
  interactions: InteractionAudit | null,
): PriceSums {
  const { priceSum, bodySum } = priceSumsOf(choices, picked);
  if (interactions === null) return { priceSum, bodySum };
  const prices = new Map(
    choices.map(({ tensor, candidates }, index) => [tensor, candidates[picked[index]].klNats]),
  );
  const more = interactionNats(interactions, (tensor) => prices.get(tensor) ?? 0);
  return { priceSum: priceSum + more, bodySum: Math.max(0, bodySum + more) };
}
