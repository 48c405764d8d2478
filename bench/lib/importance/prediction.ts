/**
 * @file The loss of whole plans from prices, against the truth: random mixtures, each predicted by a fit to all the others, and
 * by one fit to a few plans, as a user's run makes it.
 */
import { fitKl, type MeasuredPlan, predictKl, type Work } from '@bitsmith/core';
import { type Bar, row, type Row } from '../report.js';
import { coverage, percentile, spearman } from '../statistics.js';
import { type Estimate, valueOf } from './estimates.js';
import type { LadderPlan, PlanSpace } from './plans.js';
import type { Setting } from './setting.js';
import { lossOf, planTruth } from './truth.js';

const PLANS = 60;
const LEAST_BITS = 2.3;
const MOST_BITS = 5;
const SEED = 1;
/** Plans that a user's run measures. */
const FEW = 8;

export interface PredictionBars {
  readonly median: Bar;
  readonly ninetieth: Bar;
  readonly order: Bar;
  readonly coverage: Bar;
}

interface Predicted {
  readonly klNats: number;
  readonly low: number;
  readonly high: number;
}

/** The random mixtures; smaller than the smallest possible there are none. */
function mixedPlans(space: PlanSpace): LadderPlan[] {
  const { least, most } = space.range();
  return space.randomPlans(PLANS, Math.max(LEAST_BITS, least + 0.05), Math.min(MOST_BITS, most), SEED);
}

export async function* predictionRows(
  name: string,
  on: Setting,
  space: PlanSpace,
  estimates: readonly { readonly estimate: Estimate; readonly bars?: PredictionBars }[],
): Work<Row[]> {
  const plans = mixedPlans(space);
  const truth = yield* planTruth(on, plans, on.texts.judge);
  const truths = plans.map(({ id }) => lossOf(truth, id));
  const losses = truths.map(({ klNats }) => klNats);
  return [
    row({ case: `${name}: random plans`, metric: 'true KL of the largest, nats', ours: Math.min(...losses) }),
    row({
      case: `${name}: random plans`,
      metric: 'true KL of the smallest, nats',
      ours: Math.max(...losses),
    }),
    row({
      case: `${name}: random plans`,
      metric: 'standard error of a true KL, relative, median',
      ours: percentile(
        truths.map(({ klNats, standardError }) => standardError / klNats),
        0.5,
      ),
    }),
    ...estimates.flatMap(({ estimate, bars }) => {
      const measured = plans.map(({ picks }, index): MeasuredPlan => ({
        priceSum: sumOf(estimate, picks),
        bodySum: sumOf(
          estimate,
          picks.filter(({ tensor }) => tensor.role !== 'output-head'),
        ),
        sequenceKlNats: truths[index].sequenceKlNats,
      }));
      return methodRows(`${name}: ${estimate.method}`, measured, losses, bars);
    }),
  ];
}

function sumOf(estimate: Estimate, picks: LadderPlan['picks']): number {
  return picks.reduce((sum, pair) => sum + valueOf(estimate, pair), 0);
}

function methodRows(
  about: string,
  plans: readonly MeasuredPlan[],
  losses: readonly number[],
  bars: PredictionBars | undefined,
): Row[] {
  const others = plans.map((plan) =>
    predictKl(
      fitKl(
        plans.filter((other) => other !== plan),
        SEED,
      ),
      plan,
    ),
  );
  const few = plans.filter((_, index) => index % Math.floor(plans.length / FEW) === 3).slice(0, FEW);
  const rest = plans.flatMap((plan, index) => (few.includes(plan) ? [] : [index]));
  const fit = fitKl(few, SEED);
  const sums = plans.map(({ priceSum }) => ({ klNats: priceSum, low: priceSum, high: priceSum }));
  return [
    ...errorRows(about, 'plain sum of prices', sums, losses),
    ...errorRows(about, 'fitted to the others', others, losses, bars),
    row({
      case: about,
      metric: 'fitted to the others, in the 90 % interval',
      ours: coverage(others, losses),
      bar: bars?.coverage,
    }),
    ...errorRows(
      about,
      `fitted to ${FEW} plans`,
      rest.map((index) => predictKl(fit, plans[index])),
      rest.map((index) => losses[index]),
    ),
    row({
      case: about,
      metric: `fitted to ${FEW} plans, in the 90 % interval`,
      ours: coverage(
        rest.map((index) => predictKl(fit, plans[index])),
        rest.map((index) => losses[index]),
      ),
    }),
    row({ case: about, metric: `fitted to ${FEW} plans: a`, ours: fit.a }),
    row({ case: about, metric: `fitted to ${FEW} plans: b, per nat^1.5`, ours: fit.b }),
  ];
}

function errorRows(
  about: string,
  how: string,
  predicted: readonly Predicted[],
  losses: readonly number[],
  bars?: PredictionBars,
): Row[] {
  const errors = predicted.map(({ klNats }, index) => Math.abs(klNats / losses[index] - 1));
  const of = (metric: string, ours: number, bar: Bar | undefined): Row =>
    row({ case: about, metric: `${how}, ${metric} (${losses.length})`, ours, bar });
  return [
    of('median |predicted / true - 1|', percentile(errors, 0.5), bars?.median),
    of('90th percentile of it', percentile(errors, 0.9), bars?.ninetieth),
    of(
      'Spearman',
      spearman(
        predicted.map(({ klNats }) => klNats),
        losses,
      ),
      bars?.order,
    ),
  ];
}
