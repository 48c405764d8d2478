/**
 * @file Several methods as one ranking. Each method's scores become shares of their sum over the tensors, so that units fall
 * away; shares are averaged with weights that are renormalised over the methods that ran, and for a tensor that a method does
 * not score (a block's method of a tensor outside of blocks) over those that score it.
 */
import type { MethodChoice, ScoreSet } from './method.js';
import { bitsOf, type StorageType } from '../../plan/schemes.js';
import { isQuick } from '../errors/quick-schemes.js';
import type { Method, Score } from './score.js';

/** How gradual quantization weighs its four methods. */
const gradualWeights: ReadonlyMap<Method, number> = new Map([
  ['rtn', 0.4],
  ['upgrade', 0.25],
  ['disable', 0.2],
  ['noise', 0.15],
]);

/** Where plans are made: a method that scores several schemes speaks for a tensor by the one nearest to these bits. */
const REFERENCE_BITS = 3.4;

/**
 * The weight of each method, 1 together: as asked; those of gradual quantization where exactly its four are asked for without
 * weights; else equal ones.
 * @param ran the methods that ran, out of `asked`
 */
export function methodWeights(
  asked: readonly MethodChoice[],
  ran: readonly Method[] = asked.map(({ method }) => method),
): ReadonlyMap<Method, number> {
  const gradual =
    asked.length === gradualWeights.size &&
    asked.every(({ method, weight }) => weight === null && gradualWeights.has(method));
  const weightOf = ({ method, weight }: MethodChoice): number =>
    weight ?? (gradual ? (gradualWeights.get(method) as number) : 1);
  const running = asked.filter(({ method }) => ran.includes(method));
  const total = running.reduce((sum, choice) => sum + weightOf(choice), 0);
  return new Map(running.map((choice) => [choice.method, weightOf(choice) / total]));
}

/** The score that stands for each tensor: of the scheme nearest to where plans are made, or the only one. */
export function referenceScores(scores: readonly Score[]): ReadonlyMap<string, Score> {
  const chosen = new Map<string, Score>();
  for (const score of scores) {
    const best = chosen.get(score.tensor);
    if (best === undefined || distance(score) < distance(best)) chosen.set(score.tensor, score);
  }
  return chosen;
}

/** From the reference; of two schemes of one size, the quick one that losses are measured at is nearer. */
function distance({ scheme }: Score): number {
  if (scheme === null) return 0;
  const bits = Math.abs(bitsOf(scheme as StorageType) - REFERENCE_BITS);
  return isQuick(scheme) ? bits : bits + 1e-6;
}

/** A tensor's share of all loss, by the methods together. The shares of all tensors are 1 together, or 0 where nothing matters. */
export function combine(
  sets: readonly ScoreSet[],
  weights: ReadonlyMap<Method, number>,
): ReadonlyMap<string, number> {
  const sums = new Map<string, { share: number; weight: number }>();
  for (const set of sets) {
    const weight = weights.get(set.method) ?? 0;
    for (const [tensor, share] of sharesOf(set)) {
      const sum = sums.get(tensor) ?? { share: 0, weight: 0 };
      sums.set(tensor, { share: sum.share + weight * share, weight: sum.weight + weight });
    }
  }
  return normalised(
    new Map([...sums].map(([tensor, { share, weight }]) => [tensor, weight > 0 ? share / weight : 0])),
  );
}

/** Scores below zero (a recovered loss that was none) count as none. */
export function sharesOf(set: ScoreSet): ReadonlyMap<string, number> {
  return normalised(
    new Map([...referenceScores(set.scores)].map(([tensor, { value }]) => [tensor, Math.max(0, value)])),
  );
}

function normalised(values: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  const total = [...values.values()].reduce((sum, value) => sum + value, 0);
  return new Map([...values].map(([tensor, value]) => [tensor, total > 0 ? value / total : 0]));
}
