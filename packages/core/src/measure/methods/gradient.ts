/**
 * @file The price of every (tensor, scheme) from a few backward passes: the sequence-level Fisher information, and the errors of
 * each scheme's own encoder. One artifact a (tensor, scheme): another budget or scheme list measures only what is new.
 */
import type { Calibration } from '../../calibrate/calibrate.js';
import type { SourceModel } from '../../model/types.js';
import type { RunContext } from '../../run/context.js';
import type { RunEvent, Work } from '../../run/events.js';
import { stage } from '../../run/work.js';
import { encoderVersion } from '../encoder-version.js';
import type { FisherPrice } from '../gradients/fisher.js';
import { type Gathered, gatherMissing } from '../gather.js';
import { describeGradients, type Gradients, measureGradients } from '../gradients/gradients.js';
import type { GatheredFiles } from '../gather-files.js';
import { gramPlace } from '../gradients/grams.js';
import type { GramPlace } from '../gradients/price-task.js';
import type { MethodInput } from './method.js';
import { byTensor, type Pair, pairFinder, pairsOf } from '../pairs.js';
import type { Method, Score } from './score.js';
import type { Wanted } from '../wanted.js';

/** Weights sampled a tensor. */
const SAMPLE_WEIGHTS = 1 << 14;

/** The scores of every wanted scheme, from gradients of sequences spread over the text. */
export async function* gradientScores(input: MethodInput): Work<Score[]> {
  const { run, model, calibration, gradientText: text, samples, memoryBytes, wanted } = input;
  return yield* stage('measure', `gradients on ${text.name}`, async function* () {
    const gradients = yield* measureGradients(run, model, text, { samples, memoryBytes });
    const prices = yield* gradientPrices(run, model, calibration, gradients, wanted);
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

/**
 * Prices of every wanted scheme, in nats per token; null where a scheme cannot hold the weights.
 * @param grams weigh errors by Gram matrices, where a tensor has one
 */
export async function* gradientPrices(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  gradients: Gradients,
  wanted: readonly Wanted[],
  grams: GatheredFiles | null = null,
): AsyncGenerator<RunEvent, Gathered<ReadonlyMap<string, FisherPrice | null>>, void> {
  const pairs = pairsOf(wanted);
  const pairOf = pairFinder(pairs);
  const gathered = yield* gatherMissing<Pair, { price: FisherPrice | null }>(run, {
    items: pairs,
    taskOf: ({ tensor, scheme }) => ({
      kind: 'gradient-price',
      version: 2,
      parameters: { tensor, scheme, sampleWeights: SAMPLE_WEIGHTS, ...encoderVersion([scheme]) },
      inputs: {
        model: model.sha256,
        importance: calibration.sha256,
        gradients: gradients.hash,
        ...(grams === null ? {} : { grams: grams.hash }),
      },
    }),
    label: 'prices of schemes',
    unit: 'measurements',
    work: (missing, store) =>
      run.engine.run(
        'prices',
        {
          files: model.files.map((file) => file.path),
          importancePath: calibration.path,
          gradientPaths: gradients.paths,
          labels: gradients.labels,
          sampleWeights: SAMPLE_WEIGHTS,
          grams: grams === null ? null : placesOf(model, grams, missing),
          tensors: byTensor(missing),
        },
        {
          signal: run.signal,
          onEvent: ({ tensor, prices }) => {
            for (const [scheme, price] of Object.entries(prices)) store(pairOf(tensor, scheme), { price });
          },
        },
      ),
  });
  let next = 0;
  const values = wanted.map(
    ({ schemes }) => new Map(schemes.map((scheme) => [scheme, gathered.values[next++].price])),
  );
  return { values, cached: gathered.cached };
}

function placesOf(
  model: SourceModel,
  grams: GatheredFiles,
  pairs: readonly Pair[],
): Record<string, GramPlace> {
  const places = pairs.map(({ tensor }) => [tensor, gramPlace(model, grams, tensor)] as const);
  return Object.fromEntries(places.filter((entry): entry is [string, GramPlace] => entry[1] !== null));
}
