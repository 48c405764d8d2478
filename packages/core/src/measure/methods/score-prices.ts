/**
 * @file From scores to prices, in nats per token, of everything that a tensor may be stored in. Where a method scored a scheme in
 * nats, that is its price; the other schemes of a tensor follow from their errors, relative to the one that was scored. Several
 * methods share the total that those among them find that know nats.
 */
import type { TensorOptions } from '../../plan/options.js';
import { priceOptions, type TensorMeasurement } from '../../plan/price.js';
import type { Choice } from '../../plan/types.js';
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
  const references = referenceScores(priced.flatMap(({ scores }) => scores));
  const total = sets.length > 1 ? totalNats(priced, weights, references) : 0;
  const prices = new Map<string, ReferencePrice>();
  for (const [tensor, { scheme, value, standardError }] of references) {
    const price =
      sets.length > 1
        ? { klNats: (shares.get(tensor) ?? 0) * total, standardError: null }
        : { klNats: Math.max(0, value), standardError };
    prices.set(tensor, { scheme: scheme as string, ...price });
  }
  return prices;
}

/** What all tensors cost together at their references, by the methods that scored those; methods at other schemes say nothing of it. */
function totalNats(
  priced: readonly ScoreSet[],
  weights: ReadonlyMap<Method, number>,
  references: ReadonlyMap<string, Score>,
): number {
  let sum = 0;
  let weightSum = 0;
  for (const { method, scores } of priced) {
    const found = scores.filter(({ tensor, scheme }) => references.get(tensor)?.scheme === scheme);
    if (found.length < references.size) continue;
    const weight = weights.get(method) ?? 0;
    sum += weight * found.reduce((nats, { value }) => nats + Math.max(0, value), 0);
    weightSum += weight;
  }
  return weightSum > 0 ? sum / weightSum : 0;
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
