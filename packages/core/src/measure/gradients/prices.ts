/** @file Prices of schemes from squared gradients, one artifact a (tensor, scheme): another budget or scheme list measures only what is new. */
import type { Calibration } from '../../calibrate/calibrate.js';
import type { SourceModel } from '../../model/types.js';
import type { RunContext } from '../../run/context.js';
import type { RunEvent } from '../../run/events.js';
import { encoderVersion } from '../encoder-version.js';
import { type Gathered, gatherMissing } from '../../run/gather.js';
import type { GatheredFiles } from '../../run/gather-files.js';
import { byTensor, type Pair, pairFinder, pairsOf } from '../pairs.js';
import type { Wanted } from '../wanted.js';
import type { FisherPrice } from './fisher.js';
import type { Gradients } from './gradients.js';
import { EMBEDDING } from '../../transformer/embedding.js';
import { gramPlace } from '../../gram/grams.js';
import type { GramPlace } from '../../gram/gram-files.js';
import { encoderInputs, roundingParameters } from '../../gram/statistics.js';

/** Weights sampled a tensor. */
const SAMPLE_WEIGHTS = 1 << 14;

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
      version: 9,
      parameters: { tensor, scheme, sampleWeights: SAMPLE_WEIGHTS, ...encoderVersion([scheme]) },
      inputs: {
        model: model.sha256,
        ...encoderInputs(calibration),
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
          rounding: roundingParameters(model, calibration.rounding),
          gradientPaths: gradients.paths,
          labels: gradients.labels,
          sampleWeights: SAMPLE_WEIGHTS,
          grams: grams === null ? null : placesOf(grams, missing),
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

function placesOf(grams: GatheredFiles, pairs: readonly Pair[]): Record<string, GramPlace> {
  // An embedding has outputs only where it is the head as well, and its matrix is of both.
  const matrices = pairs.filter(({ tensor }) => tensor !== EMBEDDING);
  const places = matrices.map(({ tensor }) => [tensor, gramPlace(grams, tensor)] as const);
  return Object.fromEntries(places.filter((entry): entry is [string, GramPlace] => entry[1] !== null));
}
