/**
 * @file The criterion and the search of llama.cpp's open proposal for planning by size (pull request 15550), from the errors of the
 * real encoders. With x a row, e what a scheme changes in it and w the importance matrix, a tensor costs
 *
 *     rows * (mean over rows of sum(w e^2) / sum(w x^2), the largest and smallest hundredth left out)
 *
 * times what the proposal holds of the tensor's name, given an importance matrix without means and more than 2.2 bits a weight: attention
 * counts more in few bits, and some roles count more in any. The search walks along the convex hulls by error saved a byte, and
 * spends what is left on the next steps that fit. Its clipping of outliers is left out.
 */
import {
  bitsOf,
  type Choice,
  findScheme,
  type ModelTensor,
  type RunContext,
  type SchemeId,
  type Work,
} from '@bitsmith/core';
import { choicesOf, wantedOf } from './prices.js';
import { rowErrors } from './row-errors.js';
import type { Setting } from './setting.js';

/** What the proposal chooses from, besides the floats. */
const candidates: ReadonlySet<string> = new Set<SchemeId>([
  ...(['IQ1_S', 'IQ1_M', 'IQ2_XXS', 'IQ2_XS', 'IQ2_S', 'IQ3_XXS', 'IQ3_S', 'IQ4_XS', 'IQ4_NL'] as const),
  ...(['Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0'] as const),
]);

const boosts: Partial<Record<ModelTensor['role'], number>> = {
  'mlp-down': 6,
  'output-head': 3,
  'attention-v': 1.25,
};
/** Of an embedding that is the output head as well, where it is a tenth of the model or less; less beyond, and never less than `LEAST`. */
const TIED = { boost: 2.5, share: 0.1, fall: 3, least: 1.25 } as const;

/** The proposal's errors as prices of its candidates, and what is stored as it was at none. */
export async function* rowNormalisedChoices(run: RunContext, on: Setting): Work<readonly Choice[]> {
  const storage = on.storage.map((options) => ({
    ...options,
    options: options.options.filter(({ scheme }) => candidates.has(scheme) || scheme === options.tensor.type),
  }));
  const wanted = wantedOf(storage);
  const errors = yield* rowErrors(run, on, wanted);
  const elements = wanted.reduce((sum, { tensor }) => sum + tensor.elements, 0);
  const tied = !on.model.tensors.some(({ role }) => role === 'output-head');
  const prices = wanted.map(({ tensor }): [string, Map<string, number>] => {
    const [columns] = tensor.shape;
    const boost =
      tensor.role === 'embedding' && tied
        ? tiedBoost(tensor.elements / elements)
        : (boosts[tensor.role] ?? 1);
    const found = [...(errors.get(tensor.name) ?? [])].map(([scheme, error]): [string, number] => [
      scheme,
      boost * (tensor.elements / columns) * error * attentionFactor(tensor, scheme),
    ]);
    return [tensor.name, new Map(found)];
  });
  return choicesOf(storage, new Map(prices));
}

function tiedBoost(share: number): number {
  const { boost, fall, least } = TIED;
  return share <= TIED.share ? boost : Math.max(least, boost * (1 - fall * (share - TIED.share)));
}

function attentionFactor({ role }: ModelTensor, scheme: string): number {
  const known = findScheme(scheme);
  if (!role.startsWith('attention-') || known === undefined) return 1;
  return 1 + 0.5 * 2 ** (3 - bitsOf(known.id));
}
