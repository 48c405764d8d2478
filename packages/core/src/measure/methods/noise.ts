/**
 * @file `noise`: the true loss of each tensor alone under seeded Gaussian noise. Loss grows with the square of small changes,
 * so KL = alpha t^2 at noise of relative size t, and a scheme with the relative squared error e costs about alpha e: exactly,
 * where rounding errors are as unlike the weights' own directions as noise is.
 */
import type { Work } from '../../run/events.js';
import { stage } from '../../run/work.js';
import type { Variant } from '../live/change.js';
import type { MethodInput } from './method.js';
import type { Score } from './score.js';
import { gatherVariants } from '../live/variants.js';
import { weightErrors } from '../errors/weight-errors.js';

/**
 * Noise relative to a tensor's root mean square: about the error of 4-bit schemes, where the loss is still quadratic. Smaller noise
 * drowns in what any change at all costs a model in BF16 or F16: activations are rounded anew, worth about 1e-5 nats.
 */
const DEFAULT_RELATIVE = 0.1;

/** Estimates in nats per token for every scheme, from one noisy pass a tensor. */
export function noiseScores(input: MethodInput, relative: number = DEFAULT_RELATIVE): Work<Score[]> {
  const { run, model, calibration, wanted, text } = input;
  const variants = wanted.map(({ tensor }): Variant => ({
    id: tensor.name,
    changes: [{ tensor: tensor.name, change: { kind: 'noise', relative, seed: run.seed } }],
  }));
  return stage('measure', `noise: each tensor alone, disturbed, on ${text.name}`, async function* () {
    const losses = yield* gatherVariants(input, variants, 'noise');
    const errors = yield* weightErrors(run, model, calibration, wanted);
    const result = wanted.flatMap(({ tensor }, index) => {
      const { klNats, standardError } = losses.values[index];
      const { plain, squares } = errors.values[index];
      return [...plain]
        .filter(([, error]) => Number.isFinite(error) && squares > 0)
        .map(([scheme, error]): Score => {
          const factor = error / squares / relative ** 2;
          return {
            tensor: tensor.name,
            scheme,
            method: 'noise',
            value: klNats * factor,
            unit: 'nats/token',
            standardError: standardError * factor,
            evidence: 'estimated',
          };
        });
    });
    const summary = `noise: ${variants.length} disturbed tensors, ${result.length} estimates`;
    return { result, cached: losses.cached && errors.cached, summary };
  });
}
