/**
 * @file From scores to prices, in nats per token, of everything that a tensor may be stored in. Where a method scored a scheme in
 * nats, that is its price; the other schemes of a tensor follow from their errors, relative to the one that was scored. Several
 * methods share the total that those among them find that know nats.
 */
import type { TensorOptions } from '../plan/options.js';
import { priceOptions, type TensorMeasurement } from '../plan/price.js';
import type { Choice } from '../plan/types.js';
import { referenceScores } from './combine.js';
import type { ScoreSet } from './method.js';
import type { Method, Score } from './score.js';

/** What one tensor is expected to cost at one scheme. */
export interface ReferencePrice {
  readonly scheme: string;
  readonly klNats: number;
  readonly standardError: number | null;
}

/** Whether a score is the expected loss of storing the tensor in its scheme. */
function isPrice({ unit, scheme }: Score): boolean {
  return unit === 'nats/token' && scheme !== null;
}

/**
 * Every tensor's price at one scheme; empty where no method knows nats.
 * @param shares of `combine`
 */
export function referencePrices(
  sets: readonly ScoreSet[],
  weights: ReadonlyMap<Method, number>,
  shares: ReadonlyMap<string, number>,
): ReadonlyMap<string, ReferencePrice> {
  const priced = sets.filter(({ scores }) => scores.length > 0 && scores.every(isPrice));
  if (priced.length === 0) return new Map();
  const references = priced.map((set) => referenceScores(set));
  const [first] = references;
  if (sets.length === 1) return new Map([...first].map(([tensor, score]) => [tensor, priceOf(score)]));
  const weightOf = (index: number): number => weights.get(priced[index].method) ?? 0;
  const weightSum = priced.reduce((sum, _, index) => sum + weightOf(index), 0);
  const total =
    references.reduce((sum, scores, index) => sum + totalOf(scores) * weightOf(index), 0) / weightSum;
  return new Map(
    [...first].map(([tensor, { scheme }]) => [
      tensor,
      { scheme: scheme as string, klNats: (shares.get(tensor) ?? 0) * total, standardError: null },
    ]),
  );
}

function priceOf({ scheme, value, standardError }: Score): ReferencePrice {
  return { scheme: scheme as string, klNats: Math.max(0, value), standardError };
}

function totalOf(scores: ReadonlyMap<string, Score>): number {
  return [...scores.values()].reduce((sum, { value }) => sum + Math.max(0, value), 0);
}

/**
 * Prices of all options of all tensors.
 * @param errors weighted error of each scheme, by tensor
 */
export function pricesFromScores(
  options: readonly TensorOptions[],
  sets: readonly ScoreSet[],
  references: ReadonlyMap<string, ReferencePrice>,
  errors: ReadonlyMap<string, ReadonlyMap<string, number>>,
): readonly Choice[] {
  const measurements = options.flatMap(({ tensor }): TensorMeasurement[] => {
    const found = errors.get(tensor.name);
    return found === undefined ? [] : [{ tensor, errors: found, probe: references.get(tensor.name) ?? null }];
  });
  const choices = priceOptions(options, measurements);
  if (sets.length !== 1) return choices;
  const direct = new Map(sets[0].scores.map((score) => [`${score.tensor} ${score.scheme}`, score]));
  return choices.map((choice) => ({
    ...choice,
    candidates: choice.candidates.map((candidate) => {
      const score = direct.get(`${choice.tensor} ${candidate.scheme}`);
      return score === undefined ? candidate : { ...candidate, klNats: Math.max(0, score.value) };
    }),
  }));
}
