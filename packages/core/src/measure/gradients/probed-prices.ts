/**
 * @file Prices from gradients, with the embedding's set right by true losses. A text is made of a few rows of the embedding, used over
 * and over; whether the errors of so few rows happen to add up is chance, which no expectation over errors tells (up to a
 * fifth of the loss). Two probes in the live model do: the embedding alone in about two and in about three bits.
 */
import type { Calibration } from '../../calibrate/calibrate.js';
import type { ModelTensor, SourceModel } from '../../model/types.js';
import { encodableSchemes } from '../../plan/encodable-schemes.js';
import type { SchemeId } from '../../plan/schemes.js';
import type { RunContext } from '../../run/context.js';
import type { RunEvent } from '../../run/events.js';
import { spreadSamples, type TokenizedText } from '../../text/tokenize.js';
import { ladderOf } from '../errors/quick-schemes.js';
import type { Gathered } from '../../run/gather.js';
import type { Variant } from '../live/change.js';
import { gatherVariants } from '../live/variants.js';
import type { TrueLoss } from '../live/variants-task.js';
import type { Wanted } from '../wanted.js';
import type { FisherPrice } from './fisher.js';
import type { Gradients } from './gradients.js';
import { gradientPrices } from './prices.js';

/** Prices of every wanted scheme, in nats per token; null where a scheme cannot hold the weights. */
export type PricesOf = (
  wanted: readonly Wanted[],
) => AsyncGenerator<RunEvent, Gathered<ReadonlyMap<string, FisherPrice | null>>, void>;

/** Tokens of the probes, at least; at most those that gradients were taken of. */
const PROBE_TOKENS = 1024;
const LEAST_SEQUENCES = 4;

/** Relative spread of true losses about prices, before anything is probed: a probe counts as much as it is surer than that. */
const PRIOR_SPREAD = 0.15;

export function probedPrices(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  text: TokenizedText,
  gradients: Gradients,
): PricesOf {
  const pricesOf: PricesOf = (wanted) => gradientPrices(run, model, calibration, gradients, wanted);
  return async function* (wanted) {
    const prices = yield* pricesOf(wanted);
    const place = wanted.findIndex(({ tensor }) => tensor.role === 'embedding');
    const schemes = place < 0 ? [] : probeSchemes(wanted[place].tensor);
    if (schemes.length === 0) return prices;
    const { tensor } = wanted[place];
    const variants = schemes.map((scheme): Variant => ({
      id: scheme,
      changes: [{ tensor: tensor.name, change: { kind: 'scheme', scheme } }],
    }));
    const live = { run, model, calibration, text: probeText(text, gradients.paths.length) };
    const losses = yield* gatherVariants(live, variants, 'probes of the embedding');
    const probed = yield* pricesOf([{ tensor, schemes }]);
    const points = schemes.flatMap((scheme, index): Point[] => {
      const price = probed.values[0].get(scheme) ?? null;
      return price === null ? [] : pointOf(price, losses.values[index]);
    });
    return {
      values: prices.values.with(place, correct(prices.values[place], points)),
      cached: prices.cached && losses.cached && probed.cached,
    };
  };
}

/** A few sequences spread over the text: of those that gradients are taken of, where these are as many. */
export function probeText(text: TokenizedText, most: number = text.chunks.length): TokenizedText {
  const least = Math.max(LEAST_SEQUENCES, Math.ceil(PROBE_TOKENS / text.contextTokens));
  return spreadSamples(text, Math.min(most, text.chunks.length, least));
}

function probeSchemes(tensor: ModelTensor): readonly SchemeId[] {
  const smaller = encodableSchemes(tensor.shape[0], tensor.type);
  return smaller.length === 0 ? [] : ladderOf(smaller).slice(0, 2);
}

/** At this price, what true losses are times the prices. */
export interface Point {
  readonly klNats: number;
  readonly factor: number;
}

/** None where there is no loss to compare. */
export function pointOf(
  { klNats }: Pick<FisherPrice, 'klNats'>,
  loss: Pick<TrueLoss, 'klNats' | 'standardError'>,
): Point[] {
  if (!(klNats > 0 && loss.klNats > 0)) return [];
  const trust = PRIOR_SPREAD ** 2 / (PRIOR_SPREAD ** 2 + (loss.standardError / loss.klNats) ** 2);
  return [{ klNats, factor: 1 + trust * (loss.klNats / klNats - 1) }];
}

/** Between two points by the logarithm of the price, beyond them as at the nearer one. */
export function factorAt(klNats: number, points: readonly Point[]): number {
  const sorted = points.toSorted((a, b) => a.klNats - b.klNats);
  const above = sorted.findIndex((point) => point.klNats >= klNats);
  if (sorted.length === 0) return 1;
  if (above <= 0) return (above < 0 ? sorted[sorted.length - 1] : sorted[0]).factor;
  const [low, high] = [sorted[above - 1], sorted[above]];
  const share = Math.log(klNats / low.klNats) / Math.log(high.klNats / low.klNats);
  return low.factor + share * (high.factor - low.factor);
}

function correct(
  prices: ReadonlyMap<string, FisherPrice | null>,
  points: readonly Point[],
): ReadonlyMap<string, FisherPrice | null> {
  return new Map(
    [...prices].map(([scheme, price]) => {
      if (price === null) return [scheme, null];
      const factor = factorAt(price.klNats, points);
      return [scheme, { klNats: factor * price.klNats, standardError: factor * price.standardError }];
    }),
  );
}
