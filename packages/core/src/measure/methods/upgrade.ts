/**
 * @file `upgrade`: the true loss that is recovered when one tensor alone is lifted out of a model that is all low, back to what
 * is stored. It prices a tensor where the rest is already poor, as `rtn` does where the rest is whole.
 */
import type { Work } from '../../run/events.js';
import { stage } from '../../run/work.js';
import type { TensorChange, Variant } from '../live/change.js';
import type { MethodInput } from './method.js';
import { lowScheme } from '../errors/quick-schemes.js';
import type { Score } from './score.js';
import { standardErrorOfMean } from '../standard-error.js';
import { gatherVariants } from '../live/variants.js';

const ALL_LOW = 'all low';

/** Scores in nats per token at each tensor's low scheme (about 2 bits). May be below zero: then the tensor made good for others. */
export function upgradeScores(input: MethodInput): Work<Score[]> {
  const low = input.wanted.map(({ tensor, schemes }) => ({
    tensor: tensor.name,
    scheme: lowScheme(schemes),
  }));
  const changes = low.map(({ tensor, scheme }): TensorChange => ({
    tensor,
    change: { kind: 'scheme', scheme },
  }));
  const variants: Variant[] = [
    { id: ALL_LOW, changes },
    ...low.map(({ tensor }) => ({
      id: tensor,
      changes: changes.filter((change) => change.tensor !== tensor),
    })),
  ];
  return stage('measure', `upgrade: each tensor lifted alone, on ${input.text.name}`, async function* () {
    const { values, cached } = yield* gatherVariants(input, variants, 'upgrade');
    const [all, ...lifted] = values;
    const result = low.map(({ tensor, scheme }, index): Score => {
      const { klNats, sequenceKlNats } = lifted[index];
      const recovered = sequenceKlNats.map((value, sequence) => all.sequenceKlNats[sequence] - value);
      return {
        tensor,
        scheme,
        method: 'upgrade',
        value: all.klNats - klNats,
        unit: 'nats/token',
        standardError: standardErrorOfMean(recovered),
        evidence: 'measured',
      };
    });
    const total = all.klNats.toPrecision(3);
    return {
      result,
      cached,
      summary: `upgrade: ${low.length} tensors lifted out of a loss of ${total} nats`,
    };
  });
}
