/** @file Prices of all tensors and schemes from gradients, for a plan: what `measure` does with probes, without any. */
import type { Calibration } from '../calibrate/calibrate.js';
import type { ModelTensor, SourceModel } from '../model/types.js';
import type { TensorMeasurement } from '../plan/price.js';
import type { RunContext } from '../run/context.js';
import type { RunEvent, Work } from '../run/events.js';
import { stage } from '../run/work.js';
import type { TokenizedText } from '../text/tokenize.js';
import type { Gathered } from '../run/gather.js';
import { type PricesOf, probedPrices } from './gradients/probed-prices.js';
import { describeGradients, type GradientOptions, measureGradients } from './gradients/gradients.js';
import { firstOf, type GroupSelector, measureLater } from './measure.js';
import { schemeGroups } from './errors/scheme-groups.js';
import type { Wanted } from './wanted.js';

/** One tensor's prices. */
export interface PricedTensor extends TensorMeasurement {
  readonly tensor: ModelTensor;
  readonly probe: null;
  readonly inNats: true;
}

/**
 * Prices of all tensors; what is in the store is not measured again.
 * @param select leaves out slow groups of schemes where they cannot matter; without it everything is priced
 */
export async function* measureByGradient(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  text: TokenizedText,
  wanted: readonly Wanted[],
  options: GradientOptions,
  select?: GroupSelector,
): Work<readonly PricedTensor[]> {
  return yield* stage('measure', `gradients on ${text.name}`, async function* () {
    const gradients = yield* measureGradients(run, model, text, options);
    const fisherPrices = probedPrices(run, model, calibration, text, gradients);
    const pricesOf = (open: readonly Wanted[]) => pricesAsErrors(fisherPrices, open);
    const [first] = schemeGroups;
    const begun = yield* pricesOf(wanted.map((item) => firstOf(item, first)));
    const measured = wanted.map(({ tensor }, index): PricedTensor => ({
      tensor,
      errors: begun.values[index],
      probe: null,
      inNats: true,
    }));
    const all = yield* measureLater(measured, wanted, select, pricesOf);
    const prices = all.values.reduce((sum, item) => sum + item.errors.size, 0);
    return {
      result: all.values,
      summary: `${describeGradients(gradients, text)}, ${prices.toLocaleString('en')} prices`,
      cached: gradients.cached && begun.cached && all.cached,
    };
  });
}

async function* pricesAsErrors(
  pricesOf: PricesOf,
  wanted: readonly Wanted[],
): AsyncGenerator<RunEvent, Gathered<ReadonlyMap<string, number>>, void> {
  const { values, cached } = yield* pricesOf(wanted);
  const errors = values.map(
    (prices) => new Map([...prices].map(([scheme, price]) => [scheme, price?.klNats ?? Infinity])),
  );
  return { values: errors, cached };
}
