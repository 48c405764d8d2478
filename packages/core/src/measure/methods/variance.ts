/** @file `variance`: the relative squared error of each scheme, from the weights alone. It knows nothing of the model. */
import type { Work } from '../../run/events.js';
import { stage } from '../../run/work.js';
import type { MethodInput } from './method.js';
import type { Score } from './score.js';
import { weightErrors } from '../errors/weight-errors.js';

/** Squared error over squared weights, on a sample of each tensor's rows. */
export function varianceScores({ run, model, wanted }: MethodInput): Work<Score[]> {
  return stage('measure', 'variance: relative errors of the weights', async function* () {
    const { values, cached } = yield* weightErrors(run, model, null, wanted);
    const result = wanted.flatMap(({ tensor }, index) => {
      const { plain, squares } = values[index];
      return [...plain]
        .filter(([, error]) => Number.isFinite(error))
        .map(([scheme, error]): Score => ({
          tensor: tensor.name,
          scheme,
          method: 'variance',
          value: squares > 0 ? error / squares : 0,
          unit: 'relative',
          standardError: null,
          evidence: 'estimated',
        }));
    });
    return { result, cached, summary: `variance: ${result.length} tensors and schemes` };
  });
}
