/**
 * @file Two plans on the same text: what is easy or hard about a sequence is so for both, and falls out of the difference.
 * Differences of a percent can be told on texts where the losses themselves are known to five.
 */
import { standardErrorOfMean } from '../measure/standard-error.js';

export interface PairedDifference {
  /** Mean over the sequences of the first's loss less the second's, in nats per token: negative where the first loses less. */
  readonly nats: number;
  /** Of that mean, over the sequences; infinite of fewer than two, from which nothing can be told. */
  readonly standardError: number;
}

/** @param first, second mean loss of each sequence of one text, in the same order */
export function pairedDifference(first: readonly number[], second: readonly number[]): PairedDifference {
  const differences = first.map((nats, sequence) => nats - second[sequence]);
  const nats = differences.reduce((sum, value) => sum + value, 0) / differences.length;
  return { nats, standardError: standardErrorOfMean(differences) ?? Infinity };
}

/** Standard errors that a difference must pass to count: chance alone passes them once in 40. */
const SURE = 2;

/** True where the first loses less than the second by more than noise. */
export function surelyLess({ nats, standardError }: PairedDifference): boolean {
  return nats + SURE * standardError < 0;
}
