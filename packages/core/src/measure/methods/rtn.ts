/**
 * @file `rtn`: the true loss of each tensor alone in each scheme, everything else as stored. The yardstick for all other
 * methods, at one forward pass a (tensor, scheme).
 */
import type { Work } from '../../run/events.js';
import { stage } from '../../run/work.js';
import type { Variant } from '../live/change.js';
import type { MethodInput } from './method.js';
import { ladderOf } from '../errors/quick-schemes.js';
import type { Score } from './score.js';
import { gatherVariants } from '../live/variants.js';

/** Scores in nats per token: about 2, 3 and 4 bits a tensor, or every scheme that was asked for. */
export function rtnScores(input: MethodInput): Work<Score[]> {
  const pairs = input.wanted.flatMap(({ tensor, schemes }) =>
    (input.chosenSchemes ? schemes : ladderOf(schemes)).map((scheme) => ({ tensor: tensor.name, scheme })),
  );
  const variants = pairs.map(({ tensor, scheme }): Variant => ({
    id: `${tensor} ${scheme}`,
    changes: [{ tensor, change: { kind: 'scheme', scheme } }],
  }));
  return stage('measure', `rtn: each tensor alone, quantized, on ${input.text.name}`, async function* () {
    const { values, cached } = yield* gatherVariants(input, variants, 'rtn');
    const result = pairs.map(({ tensor, scheme }, index): Score => ({
      tensor,
      scheme,
      method: 'rtn',
      value: values[index].klNats,
      unit: 'nats/token',
      standardError: values[index].standardError,
      evidence: 'measured',
    }));
    return { result, cached, summary: `rtn: ${result.length} tensors and schemes in the live model` };
  });
}
