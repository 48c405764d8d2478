/**
 * @file `activation`: the squared error that each scheme adds to a tensor's output, a token: sum_ij E[x_j^2] dW_ij^2, the
 * diagonal of what the importance matrix knows. It knows nothing of what becomes of that output.
 */
import type { Work } from '../../run/events.js';
import { stage } from '../../run/work.js';
import type { MethodInput } from './method.js';
import type { Score } from './score.js';
import { weightErrors } from '../errors/weight-errors.js';

/** Squared error of the output per token, in the model's own units, on a sample of each tensor's rows. */
export function activationScores(input: MethodInput): Work<Score[]> {
  const { run, model, calibration, wanted } = input;
  const untied = model.tensors.some(({ name }) => name === 'output.weight');
  return stage('measure', `activation: output errors on ${calibration.dataset}`, async function* () {
    const { values, cached } = yield* weightErrors(run, model, calibration, wanted);
    const result = wanted.flatMap(({ tensor }, index) => {
      // A token looks up one row of an embedding; of a matrix it is multiplied by, it uses all.
      const rows = untied && tensor.name === 'token_embd.weight' ? tensor.shape[1] : 1;
      return [...values[index].weighted]
        .filter(([, error]) => Number.isFinite(error))
        .map(([scheme, error]): Score => ({
          tensor: tensor.name,
          scheme,
          method: 'activation',
          value: error / rows,
          unit: 'square',
          standardError: null,
          evidence: 'estimated',
        }));
    });
    return { result, cached, summary: `activation: ${result.length} tensors and schemes` };
  });
}
