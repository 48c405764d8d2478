/**
 * @file From prices to the loss of a whole plan. Single tensors stay quadratic, but their sum S falls short of the true loss as
 * it grows, for what one tensor gets wrong the others carry on; only the error of an output head of its own meets no other. With D
 * the sum of all prices but the head's, KL = a S + b D^2.5, with a and b fitted for the model at hand on a few plans whose
 * true loss was measured. (Pairs of tensors alone would be D^2; that and S (a + b S) were further off, docs/benchmarks.md.) Beyond
 * the largest D measured it goes straight on. The fit weighs relative errors, and its interval comes from drawing plans and sequences again (bootstrap). All of it is a pure
 * function of what was measured.
 */
import { BitsmithError } from '@bitsmith/formats';
import type { PriceSums } from '../../plan/price-sums.js';
import { mulberry32 } from '../../run/mulberry32.js';

/** A plan whose loss was both estimated and measured. */
export interface MeasuredPlan extends PriceSums {
  /** Measured loss of each sequence; all plans on the same sequences. */
  readonly sequenceKlNats: readonly number[];
}

export interface KlPrediction {
  readonly klNats: number;
  /** 90 % of plans lie between. */
  readonly low: number;
  readonly high: number;
}

/** The fitted form, with what its interval is drawn from. */
export interface KlFit {
  readonly a: number;
  readonly b: number;
  /** Root mean square of relative errors, each plan predicted by a fit without it. */
  readonly relativeError: number;
  readonly plans: number;
  /** The measured range of S: predictions outside of it are extrapolations. */
  readonly range: readonly [least: number, most: number];
  /** The largest D measured. */
  readonly mostBodySum: number;
  /** Coefficients and relative errors drawn again, for intervals. */
  readonly draws: readonly { readonly a: number; readonly b: number; readonly error: number }[];
}

const DRAWS = 400;
const INTERVAL = 0.9;

/**
 * Fits a and b.
 * @throws BitsmithError `PREDICTION_PLANS` for fewer than two plans, or plans without a loss
 */
export function fitKl(plans: readonly MeasuredPlan[], seed: number): KlFit {
  refuseUnfit(plans);
  const means = plans.map(({ sequenceKlNats }) => mean(sequenceKlNats));
  const mostBodySum = Math.max(...plans.map(({ bodySum }) => bodySum));
  const { a, b } = leastSquares(plans, means);
  const errors = plans.map((plan, left) => {
    const others = <Item>(items: readonly Item[]): Item[] => items.filter((_, index) => index !== left);
    return means[left] / valueAt({ ...leastSquares(others(plans), others(means)), mostBodySum }, plan) - 1;
  });
  const sums = plans.map(({ priceSum }) => priceSum);
  const draws = drawAgain(plans, errors, seed);
  return {
    a,
    b,
    relativeError: Math.sqrt(mean(errors.map((error) => error ** 2))),
    plans: plans.length,
    range: [Math.min(...sums), Math.max(...sums)],
    mostBodySum,
    draws,
  };
}

/** The expected loss of a plan whose prices come to these sums. */
export function predictKl(fit: KlFit, sums: PriceSums): KlPrediction {
  const drawn = fit.draws
    .map(({ a, b, error }) => valueAt({ ...fit, a, b }, sums) * (1 + error))
    .sort((x, y) => x - y);
  const at = (share: number): number => drawn[Math.round(share * (drawn.length - 1))];
  const klNats = valueAt(fit, sums);
  const tail = (1 - INTERVAL) / 2;
  return { klNats, low: Math.min(klNats, at(tail)), high: Math.max(klNats, at(1 - tail)) };
}

interface Coefficients {
  readonly a: number;
  readonly b: number;
}

/** How what the body gets wrong grows beyond its sum. */
const BODY_POWER = 2.5;

function valueAt(
  { a, b, mostBodySum }: Coefficients & Pick<KlFit, 'mostBodySum'>,
  { priceSum, bodySum }: PriceSums,
): number {
  const within = Math.min(bodySum, mostBodySum);
  const beyond = BODY_POWER * mostBodySum ** (BODY_POWER - 1) * (bodySum - within);
  return a * priceSum + b * (within ** BODY_POWER + beyond);
}

/** Least squares relative to what was measured; b is never below zero, nor told without two sums that differ. */
function leastSquares(sums: readonly PriceSums[], losses: readonly number[]): Coefficients {
  let xx = 0;
  let xy = 0;
  let yy = 0;
  let x1 = 0;
  let y1 = 0;
  sums.forEach(({ priceSum, bodySum }, index) => {
    const x = priceSum / losses[index];
    const y = bodySum ** BODY_POWER / losses[index];
    xx += x * x;
    xy += x * y;
    yy += y * y;
    x1 += x;
    y1 += y;
  });
  const determinant = xx * yy - xy * xy;
  const flat = { a: x1 / xx, b: 0 };
  if (!(determinant > 1e-9 * xx * yy)) return flat;
  const a = (x1 * yy - y1 * xy) / determinant;
  const b = (y1 * xx - x1 * xy) / determinant;
  return b >= 0 && a > 0 ? { a, b } : flat;
}

/** Plans and sequences drawn with replacement, the same sequences for all plans of a draw; then a relative error. */
function drawAgain(plans: readonly MeasuredPlan[], errors: readonly number[], seed: number): KlFit['draws'] {
  const random = mulberry32(seed);
  const pick = (count: number): number => Math.floor(random() * count);
  const sequences = plans[0].sequenceKlNats.length;
  return Array.from({ length: DRAWS }, () => {
    const chosen = Array.from({ length: sequences }, () => pick(sequences));
    const drawn = plans.map(() => plans[pick(plans.length)]);
    const losses = drawn.map(({ sequenceKlNats }) => mean(chosen.map((index) => sequenceKlNats[index])));
    return { ...leastSquares(drawn, losses), error: errors[pick(errors.length)] };
  });
}

function refuseUnfit(plans: readonly MeasuredPlan[]): void {
  const sequences = plans[0]?.sequenceKlNats.length ?? 0;
  const sound = plans.every(
    ({ priceSum, sequenceKlNats }) =>
      priceSum > 0 && sequenceKlNats.length === sequences && mean(sequenceKlNats) > 0,
  );
  if (plans.length >= 2 && sequences > 0 && sound) return;
  throw new BitsmithError(
    'analysis',
    'PREDICTION_PLANS',
    `expected two or more plans with a price and a measured loss above zero on the same sequences, found ${plans.length}`,
    { suggestion: 'Measure plans that are smaller than the source.' },
  );
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
