/**
 * @file From prices to the loss of a whole plan. Single tensors stay quadratic, but their sum S falls short of the true loss as
 * it grows: KL = S (a + b S), with a and b fitted for the model at hand on a few plans whose true loss was measured. The fit weighs relative errors,
 * and its interval comes from drawing plans and sequences again (bootstrap). All of it is a pure function of what was measured.
 */
import { BitsmithError } from '@bitsmith/formats';
import { mulberry32 } from '../mulberry32.js';

/** A plan whose loss was both estimated and measured. */
export interface MeasuredPlan {
  /** Sum of its tensors' prices, in nats per token. */
  readonly priceSum: number;
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
  const sums = plans.map(({ priceSum }) => priceSum);
  const { a, b } = leastSquares(sums, means);
  const errors = plans.map((_, left) => {
    const others = (values: readonly number[]): number[] => values.filter((_value, index) => index !== left);
    const fit = leastSquares(others(sums), others(means));
    return means[left] / valueAt(fit, sums[left]) - 1;
  });
  const draws = drawAgain(plans, errors, seed);
  return {
    a,
    b,
    relativeError: Math.sqrt(mean(errors.map((error) => error ** 2))),
    plans: plans.length,
    range: [Math.min(...sums), Math.max(...sums)],
    draws,
  };
}

/** The expected loss of a plan whose prices sum to `priceSum`. */
export function predictKl(fit: KlFit, priceSum: number): KlPrediction {
  const drawn = fit.draws
    .map(({ a, b, error }) => valueAt({ a, b }, priceSum) * (1 + error))
    .sort((x, y) => x - y);
  const at = (share: number): number => drawn[Math.round(share * (drawn.length - 1))];
  const klNats = valueAt(fit, priceSum);
  const tail = (1 - INTERVAL) / 2;
  return { klNats, low: Math.min(klNats, at(tail)), high: Math.max(klNats, at(1 - tail)) };
}

interface Coefficients {
  readonly a: number;
  readonly b: number;
}

function valueAt({ a, b }: Coefficients, sum: number): number {
  return sum * (a + b * sum);
}

/** Least squares of KL / S = a + b S, relative to what was measured; b alone is never below zero, nor without two sums to tell it. */
function leastSquares(sums: readonly number[], losses: readonly number[]): Coefficients {
  let xx = 0;
  let xy = 0;
  let yy = 0;
  let x1 = 0;
  let y1 = 0;
  sums.forEach((sum, index) => {
    const x = sum / losses[index];
    const y = sum * x;
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
    const fit = leastSquares(
      drawn.map(({ priceSum }) => priceSum),
      losses,
    );
    return { ...fit, error: errors[pick(errors.length)] };
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
