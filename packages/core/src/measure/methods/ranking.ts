/** @file Tensors in the order of what they cost, with everything that the methods say of each. */
import type { TensorRole } from '../../model/types.js';
import type { Choice } from '../../plan/types.js';
import { referenceScores } from './combine.js';
import type { ScoreSet } from './method.js';
import type { Score } from './score.js';
import type { ReferencePrice } from './score-prices.js';
import type { Wanted } from '../wanted.js';

/** What is known of one tensor. */
export interface TensorAnalysis {
  readonly tensor: string;
  readonly role: TensorRole;
  readonly block: number | null;
  readonly elements: number;
  /** Of all loss, by the methods together. */
  readonly share: number;
  /** Expected loss in nats per token with this tensor alone in one scheme; null where no method knows nats. */
  readonly loss: ReferencePrice | null;
  /** What each method says, at the scheme by which it speaks for the tensor. */
  readonly scores: readonly Omit<Score, 'tensor'>[];
  /** Expected loss at every scheme, in nats per token; empty where no method knows nats. */
  readonly prices: Readonly<Record<string, number>>;
}

/** What is known of every tensor, most sensitive first. */
export function rankTensors(
  wanted: readonly Wanted[],
  known: {
    readonly sets: readonly ScoreSet[];
    readonly shares: ReadonlyMap<string, number>;
    readonly references: ReadonlyMap<string, ReferencePrice>;
    readonly choices: readonly Choice[];
  },
): TensorAnalysis[] {
  const spoken = known.sets.map(({ scores }) => referenceScores(scores));
  const prices = new Map(known.choices.map(({ tensor, candidates }) => [tensor, candidates]));
  return wanted
    .map(({ tensor: { name, role, block, elements } }): TensorAnalysis => ({
      tensor: name,
      role,
      block,
      elements,
      share: known.shares.get(name) ?? 0,
      loss: known.references.get(name) ?? null,
      scores: spoken.flatMap((scores) => {
        const score = scores.get(name);
        if (score === undefined) return [];
        const { tensor: _, ...rest } = score;
        return [rest];
      }),
      prices: Object.fromEntries((prices.get(name) ?? []).map(({ scheme, klNats }) => [scheme, klNats])),
    }))
    .sort((a, b) => b.share - a.share);
}

/** Median of standard error / loss; null where errors are unknown. */
export function medianRelativeError(references: ReadonlyMap<string, ReferencePrice>): number | null {
  const relative = [...references.values()]
    .filter(({ klNats, standardError }) => klNats > 0 && standardError !== null)
    .map(({ klNats, standardError }) => (standardError as number) / klNats)
    .sort((a, b) => a - b);
  return relative.length === 0 ? null : relative[relative.length >> 1];
}
