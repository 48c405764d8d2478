/**
 * @file The price of every (tensor, scheme) from a few backward passes: the sequence-level Fisher information, and the errors of
 * each scheme's own encoder.
 */
import type { Work } from '../../run/events.js';
import { stage } from '../../run/work.js';
import type { FisherPrice } from '../gradients/fisher.js';
import { describeGradients, measureGradients } from '../gradients/gradients.js';
import { probedPrices } from '../gradients/probed-prices.js';
import type { MethodInput } from './method.js';
import type { Method, Score } from './score.js';
import type { Wanted } from '../wanted.js';

/** The scores of every wanted scheme, from gradients of sequences spread over the text. */
export async function* gradientScores(input: MethodInput): Work<Score[]> {
  const { run, model, calibration, gradientText: text, samples, memoryBytes, wanted } = input;
  return yield* stage('measure', `gradients on ${text.name}`, async function* () {
    const gradients = yield* measureGradients(run, model, text, { samples, memoryBytes });
    const pricesOf = probedPrices(run, model, calibration, text, gradients);
    const prices = yield* pricesOf(wanted);
    const scores = scoresOfPrices('gradient', wanted, prices.values);
    const summary = `${describeGradients(gradients, text)}, ${scores.length.toLocaleString('en')} scores`;
    return { result: scores, summary, cached: gradients.cached && prices.cached };
  });
}

/** Prices in the form of scores; schemes that cannot hold a tensor's weights have none. */
export function scoresOfPrices(
  method: Method,
  wanted: readonly Wanted[],
  prices: readonly ReadonlyMap<string, FisherPrice | null>[],
): Score[] {
  return wanted.flatMap(({ tensor }, index) =>
    [...prices[index]].flatMap(([scheme, price]): Score[] => {
      if (price === null) return [];
      const { klNats: value, standardError } = price;
      return [
        {
          tensor: tensor.name,
          scheme,
          method,
          value,
          unit: 'nats/token',
          standardError,
          evidence: 'estimated',
        },
      ];
    }),
  );
}
