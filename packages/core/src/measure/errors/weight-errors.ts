/** @file What schemes do to the weights of tensors, measured on a sample of their rows. One artifact a (tensor, scheme). */
import type { Calibration } from '../../calibrate/calibrate.js';
import type { SourceModel } from '../../model/types.js';
import type { RunContext } from '../../run/context.js';
import type { RunEvent } from '../../run/events.js';
import type { TaskIdentity } from '../../run/store.js';
import type { SchemeError } from './errors-task.js';
import { encoderVersion } from '../encoder-version.js';
import { type Gathered, gatherMissing } from '../../run/gather.js';
import { byTensor, type Pair, pairFinder, pairsOf } from '../pairs.js';
import type { Wanted } from '../wanted.js';

/** Squared errors of one tensor, summed over it, by scheme; infinite where a scheme cannot hold the weights. */
export interface WeightErrors {
  /** Weighted with the mean squares of the input channels. */
  readonly weighted: ReadonlyMap<string, number>;
  /** Every weight counts alike. */
  readonly plain: ReadonlyMap<string, number>;
  /** Sum of the squared weights: plain errors divided by it are relative. */
  readonly squares: number;
}

/** Weights sampled a tensor. */
const SAMPLE_WEIGHTS = 1 << 15;

interface StoredError {
  /** Null where the scheme cannot hold the weights. */
  readonly error: SchemeError | null;
  readonly squares: number;
}

/**
 * Measures the error of every wanted scheme.
 * @param calibration null for a measurement without data: encoders then work without column weights
 */
export async function* weightErrors(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration | null,
  wanted: readonly Wanted[],
): AsyncGenerator<RunEvent, Gathered<WeightErrors>, void> {
  const taskOf = ({ tensor, scheme }: Pair): TaskIdentity => ({
    kind: 'weight-errors',
    version: 2,
    parameters: { tensor, scheme, sampleWeights: SAMPLE_WEIGHTS, ...encoderVersion([scheme]) },
    inputs: {
      model: model.sha256,
      ...(calibration === null ? {} : { importance: calibration.sha256 }),
    },
  });
  const pairs = pairsOf(wanted);
  const pairOf = pairFinder(pairs);
  const gathered = yield* gatherMissing<Pair, StoredError>(run, {
    items: pairs,
    taskOf,
    label: 'errors of schemes',
    unit: 'measurements',
    work: (missing, store) =>
      run.engine.run(
        'errors',
        {
          files: model.files.map((file) => file.path),
          importancePath: calibration?.path ?? null,
          sampleWeights: SAMPLE_WEIGHTS,
          tensors: byTensor(missing),
        },
        {
          signal: run.signal,
          onEvent: ({ tensor, errors, squares }) => {
            for (const [scheme, error] of Object.entries(errors)) {
              store(pairOf(tensor, scheme), { error, squares });
            }
          },
        },
      ),
  });
  return { cached: gathered.cached, values: collect(wanted, gathered.values) };
}

/** @param found one value a (tensor, scheme), in the order of `wanted` */
function collect(wanted: readonly Wanted[], found: readonly StoredError[]): WeightErrors[] {
  let next = 0;
  return wanted.map(({ schemes }) => {
    const weighted = new Map<string, number>();
    const plain = new Map<string, number>();
    let squares = 0;
    for (const scheme of schemes) {
      const stored = found[next++];
      weighted.set(scheme, stored.error?.weighted ?? Number.POSITIVE_INFINITY);
      plain.set(scheme, stored.error?.plain ?? Number.POSITIVE_INFINITY);
      squares = stored.squares;
    }
    return { weighted, plain, squares };
  });
}
