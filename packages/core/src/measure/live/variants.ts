/**
 * @file The true loss of any set of changes to the live model, each an artifact of its own: what was measured once, by this
 * run or another, is not measured again. It is the yardstick that every estimate is held against.
 */
import { BitsmithError } from '@bitsmith/formats';
import type { Calibration } from '../../calibrate/calibrate.js';
import { encoderInputs, roundingParameters } from '../../gram/statistics.js';
import type { SourceModel } from '../../model/types.js';
import type { RunContext } from '../../run/context.js';
import type { RunEvent, Work } from '../../run/events.js';
import { type TaskIdentity, taskKey } from '../../run/store.js';
import { tokensHash, type TokenizedText } from '../../text/tokenize.js';
import type { TensorChange, Variant } from './change.js';
import { encoderVersion } from '../encoder-version.js';
import { type Gathered, gatherMissing } from '../../run/gather.js';
import type { TrueLoss } from './variants-task.js';

/** What a measurement of true losses needs besides the variants. */
export interface LiveMeasurement {
  readonly run: RunContext;
  readonly model: SourceModel;
  /** Encoders of schemes work with its column weights. */
  readonly calibration: Calibration;
  readonly text: TokenizedText;
  /** Memory in which the engine keeps encoded tensors for variants to come; absent: none. */
  readonly encodedCacheBytes?: number;
}

/**
 * Measures the true KL divergence of every variant from the untouched model, in nats per token. Variants are measured in the
 * order given, and neighbours share the work on what they have in common.
 * @returns the losses by the variants' ids
 * @throws BitsmithError `VARIANT_REPEATED` for two of one id, `VARIANT_TENSOR_REPEATED` for two changes of one tensor,
 *   `LOGITS_NOT_FINITE` naming the changes
 */
export async function* measureVariants(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  text: TokenizedText,
  variants: readonly Variant[],
  label = 'changes to the live model',
): Work<ReadonlyMap<string, TrueLoss>> {
  const { values } = yield* gatherVariants({ run, model, calibration, text }, variants, label);
  return new Map(variants.map(({ id }, index) => [id, values[index]]));
}

/** The same, in order, with whether everything was in the store. */
export async function* gatherVariants(
  { run, model, calibration, text, encodedCacheBytes }: LiveMeasurement,
  variants: readonly Variant[],
  label: string,
): AsyncGenerator<RunEvent, Gathered<TrueLoss>, void> {
  refuseAmbiguous(variants);
  const tokens = tokensHash(text);
  const identify = ({ changes }: Variant): TaskIdentity => ({
    kind: 'true-loss',
    version: 2,
    parameters: {
      changes: sorted(changes),
      contextTokens: text.contextTokens,
      ...encoderVersion(changes.flatMap(({ change }) => (change.kind === 'scheme' ? change.scheme : []))),
    },
    inputs: {
      model: model.sha256,
      tokens,
      // Only encoders read it.
      ...(changes.some(({ change }) => change.kind === 'scheme') ? encoderInputs(calibration) : {}),
    },
  });
  const tasks = new Map(variants.map((variant) => [variant, identify(variant)]));
  const keys = variants.map((variant) => taskKey(tasks.get(variant) as TaskIdentity));
  const firsts = new Map<string, Variant>();
  variants.forEach((variant, index) => {
    if (!firsts.has(keys[index])) firsts.set(keys[index], variant);
  });
  const gathered = yield* gatherMissing<Variant, TrueLoss>(run, {
    items: [...firsts.values()],
    taskOf: (variant) => tasks.get(variant) as TaskIdentity,
    label,
    unit: 'measurements',
    work: (missing, store) => {
      const byId = new Map(missing.map((variant) => [variant.id, variant]));
      return run.engine.run(
        'variants',
        {
          ggufPath: model.ggufPath,
          files: model.files.map((file) => file.path),
          importancePath: calibration.path,
          rounding: roundingParameters(model, calibration.rounding),
          contextTokens: text.contextTokens,
          chunks: text.chunks,
          variants: missing,
          encodedCacheBytes,
        },
        {
          signal: run.signal,
          onEvent: ({ id, ...loss }) => store(byId.get(id) as Variant, loss),
        },
      );
    },
  });
  const losses = new Map([...firsts.keys()].map((key, index) => [key, gathered.values[index]]));
  return { values: keys.map((key) => losses.get(key) as TrueLoss), cached: gathered.cached };
}

/** The same changes in another order are the same variant. */
function sorted(changes: readonly TensorChange[]): TensorChange[] {
  return changes.toSorted((a, b) => (a.tensor < b.tensor ? -1 : 1));
}

function refuseAmbiguous(variants: readonly Variant[]): void {
  const ids = new Set<string>();
  for (const { id, changes } of variants) {
    if (ids.has(id)) {
      throw new BitsmithError(
        'arguments',
        'VARIANT_REPEATED',
        `expected variants with ids of their own, found two of ${id}`,
      );
    }
    ids.add(id);
    const tensors = new Set<string>();
    for (const { tensor } of changes) {
      if (tensors.has(tensor)) {
        throw new BitsmithError(
          'arguments',
          'VARIANT_TENSOR_REPEATED',
          `expected one change a tensor in variant ${id}, found two of ${tensor}`,
        );
      }
      tensors.add(tensor);
    }
  }
}
