/**
 * @file `disable`: the true loss without a block's contribution to the residual stream, its output projections set to zero.
 * It says what the block is worth as a whole, so that all of its tensors share one score; tensors outside of blocks have none.
 */
import { BitsmithError } from '@bitsmith/formats';
import type { ModelTensor, SourceModel, TensorRole } from '../../model/types.js';
import type { Work } from '../../run/events.js';
import { stage } from '../../run/work.js';
import type { Variant } from '../live/change.js';
import type { MethodInput } from './method.js';
import type { Score } from './score.js';
import { gatherVariants } from '../live/variants.js';

/** What writes into the residual stream: the last projection of attention, of the feed-forward layer, of its experts. */
const writerRoles: ReadonlySet<TensorRole> = new Set<TensorRole>([
  'attention-output',
  'mlp-down',
  'expert-down',
]);
/** Recurrent and convolutional layers write through projections of their own. */
const WRITER_NAMES = /\.(ssm_out|shortconv\.out_proj)\.weight$/;

function isWriter({ role, name, block, shape }: ModelTensor): boolean {
  return (
    block !== null &&
    shape.length > 1 &&
    name.endsWith('.weight') &&
    (writerRoles.has(role) || WRITER_NAMES.test(name))
  );
}

/** Names of the tensors by which each block writes into the residual stream. */
function residualWriters(tensors: readonly ModelTensor[]): ReadonlyMap<number, readonly string[]> {
  const writers = new Map<number, string[]>();
  for (const tensor of tensors.filter(isWriter)) {
    const block = tensor.block as number;
    writers.set(block, [...(writers.get(block) ?? []), tensor.name]);
  }
  return writers;
}

/** Whether any block of the model has a known output projection. */
export function canDisable(model: SourceModel): boolean {
  return residualWriters(model.tensors).size > 0;
}

/**
 * Scores in nats per token, the same for all tensors of a block.
 * @throws BitsmithError `BLOCKS_UNKNOWN` where no block's output projections are known
 */
export function disableScores(input: MethodInput): Work<Score[]> {
  const { model, text, wanted } = input;
  const writers = residualWriters(model.tensors);
  if (writers.size === 0) {
    throw new BitsmithError(
      'unsupported',
      'BLOCKS_UNKNOWN',
      `expected blocks with output projections in ${model.name} (${model.architecture}), found none`,
      { suggestion: 'Use another --method.' },
    );
  }
  const blocks = [...writers].sort(([a], [b]) => a - b);
  const variants = blocks.map(([block, tensors]): Variant => ({
    id: `block ${block}`,
    changes: tensors.map((tensor) => ({ tensor, change: { kind: 'zero' } })),
  }));
  return stage('measure', `disable: the model without each block, on ${text.name}`, async function* () {
    const { values, cached } = yield* gatherVariants(input, variants, 'disable');
    const losses = new Map(blocks.map(([block], index) => [block, values[index]]));
    const result = wanted.flatMap(({ tensor }): Score[] => {
      const loss = tensor.block === null ? undefined : losses.get(tensor.block);
      if (loss === undefined) return [];
      return [
        {
          tensor: tensor.name,
          scheme: null,
          method: 'disable',
          value: loss.klNats,
          unit: 'nats/token',
          standardError: loss.standardError,
          evidence: 'measured',
        },
      ];
    });
    return { result, cached, summary: `disable: ${blocks.length} blocks left out in turn` };
  });
}
