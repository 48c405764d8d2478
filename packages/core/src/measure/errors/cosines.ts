/** @file Cosine similarity of tensors in schemes with the source, on a sample of their rows. One artifact a (tensor, scheme). */
import type { Calibration } from '../../calibrate/calibrate.js';
import { encoderInputs, roundingParameters } from '../../gram/statistics.js';
import type { SourceModel } from '../../model/types.js';
import type { RunContext } from '../../run/context.js';
import type { RunEvent } from '../../run/events.js';
import type { TaskIdentity } from '../../run/store.js';
import { encoderVersion } from '../encoder-version.js';
import { type Gathered, gatherMissing } from '../../run/gather.js';
import { byTensor, type Pair, pairFinder } from '../pairs.js';

/** Weights sampled a tensor: the angle is then known to about 1 %. */
const SAMPLE_WEIGHTS = 1 << 16;

interface StoredCosine {
  /** Null where the scheme cannot hold the weights. */
  readonly cosine: number | null;
}

/** One value a pair, in order; 0 where a scheme cannot hold the weights. */
export async function* measureCosines(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  pairs: readonly Pair[],
): AsyncGenerator<RunEvent, Gathered<number>, void> {
  const pairOf = pairFinder(pairs);
  const gathered = yield* gatherMissing<Pair, StoredCosine>(run, {
    items: pairs,
    taskOf: ({ tensor, scheme }): TaskIdentity => ({
      kind: 'weight-cosine',
      version: 1,
      parameters: { tensor, scheme, sampleWeights: SAMPLE_WEIGHTS, ...encoderVersion([scheme]) },
      inputs: { model: model.sha256, ...encoderInputs(calibration) },
    }),
    label: 'cosine similarities of schemes',
    unit: 'measurements',
    work: (missing, store) =>
      run.engine.run(
        'cosines',
        {
          files: model.files.map((file) => file.path),
          importancePath: calibration.path,
          rounding: roundingParameters(model, calibration.rounding),
          sampleWeights: SAMPLE_WEIGHTS,
          tensors: byTensor(missing),
        },
        {
          signal: run.signal,
          onEvent: ({ tensor, cosines }) => {
            for (const [scheme, cosine] of Object.entries(cosines)) store(pairOf(tensor, scheme), { cosine });
          },
        },
      ),
  });
  return { cached: gathered.cached, values: gathered.values.map(({ cosine }) => cosine ?? 0) };
}
