/** @file True losses: of every (tensor, scheme) alone, and of whole plans. Each is kept in the store of the benches. */
import { measureVariants, type TokenizedText, type TrueLoss, type Variant, type Work } from '@bitsmith/core';
import { randomWords } from '../random.js';
import { bootstrapError, mean } from '../statistics.js';
import type { Pair } from './ladder.js';
import { type LadderPlan, variantOf } from './plans.js';
import type { Setting } from './setting.js';

/** By id of pair or plan. */
export type Truth = ReadonlyMap<string, TrueLoss>;

export async function* pairTruth(on: Setting, pairs: readonly Pair[]): Work<Truth> {
  const variants = pairs.map(({ id, tensor, scheme }): Variant => ({
    id,
    changes: [{ tensor: tensor.name, change: { kind: 'scheme', scheme } }],
  }));
  return yield* measureVariants(
    on.run,
    on.model,
    on.calibration,
    on.texts.oracle,
    variants,
    'tensors, one at a time',
  );
}

export async function* planTruth(
  on: Setting,
  plans: readonly LadderPlan[],
  text: TokenizedText,
): Work<Truth> {
  return yield* measureVariants(on.run, on.model, on.calibration, text, plans.map(variantOf), 'whole plans');
}

export function lossOf(truth: Truth, id: string): TrueLoss {
  const found = truth.get(id);
  if (found === undefined) throw new Error(`expected a true loss of ${id}`);
  return found;
}

const DRAWS = 200;

/**
 * Standard error of a statistic of true losses over the text's sequences.
 * @param statistic gets the losses of `ids`, in order, each the mean over the sequences drawn
 */
export function errorOverSequences(
  truth: Truth,
  ids: readonly string[],
  statistic: (klNats: readonly number[]) => number,
): number {
  const sequences = ids.map((id) => lossOf(truth, id).sequenceKlNats);
  return bootstrapError(sequences[0].length, DRAWS, randomWords(1), (drawn) =>
    statistic(sequences.map((losses) => mean(drawn.map((sequence) => losses[sequence])))),
  );
}

/**
 * Losses of schemes that were not measured, from the measured scheme of the same tensor that is nearest in error: within a tensor
 * losses are as the weighted squared errors are.
 * @param errors of every pair, in any unit
 */
export function withScaled(truth: Truth, pairs: readonly Pair[], errors: ReadonlyMap<string, number>): Truth {
  const errorOf = ({ id }: Pair): number => errors.get(id) ?? Number.NaN;
  const known = pairs.filter(({ id }) => truth.has(id));
  const scaled = pairs
    .filter(({ id }) => !truth.has(id))
    .map((pair): [string, TrueLoss] => {
      const distance = (other: Pair): number => Math.abs(Math.log(errorOf(other) / errorOf(pair)));
      const [nearest] = known
        .filter(({ tensor }) => tensor.name === pair.tensor.name)
        .sort((a, b) => distance(a) - distance(b));
      const factor = errorOf(pair) / errorOf(nearest);
      const { klNats, standardError, sequenceKlNats, nllIncreaseNats } = lossOf(truth, nearest.id);
      return [
        pair.id,
        {
          klNats: klNats * factor,
          standardError: standardError * factor,
          sequenceKlNats: sequenceKlNats.map((value) => value * factor),
          nllIncreaseNats: nllIncreaseNats * factor,
        },
      ];
    });
  return new Map([...truth, ...scaled]);
}
