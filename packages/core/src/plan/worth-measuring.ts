/**
 * @file Which candidates could still matter. By Lagrangian duality a plan that uses a candidate costs at least the relaxed
 * bound plus the candidate's reduced cost; where that exceeds the best plan known, the candidate need not be measured.
 */
import { solve } from './solve.js';
import type { Choice } from './types.js';

/** A candidate that was not measured: its bytes, and a price that it cannot be below. */
export interface OpenCandidate {
  readonly tensor: string;
  readonly bytes: number;
  readonly leastNats: number;
}

/** Names of the tensors with an open candidate that an optimal plan could use. */
export function worthMeasuring(
  choices: readonly Choice[],
  open: readonly OpenCandidate[],
  capacityBytes: number,
): Set<string> {
  const smallest = choices.reduce(
    (sum, { candidates }) => sum + Math.min(...candidates.map(({ bytes }) => bytes)),
    0,
  );
  // Without the open candidates nothing fits: all of them are needed.
  if (smallest > capacityBytes) return new Set(open.map(({ tensor }) => tensor));
  const { klNats, natsPerByte } = solve(choices, capacityBytes);
  const leastReduced = new Map(
    choices.map(({ tensor, candidates }) => [
      tensor,
      Math.min(...candidates.map((candidate) => candidate.klNats + natsPerByte * candidate.bytes)),
    ]),
  );
  const bound = [...leastReduced.values()].reduce(
    (sum, reduced) => sum + reduced,
    -natsPerByte * capacityBytes,
  );
  const gap = klNats - bound;
  const worth = open.filter(({ tensor, bytes, leastNats }) => {
    const reducedCost =
      leastNats + natsPerByte * bytes - (leastReduced.get(tensor) ?? Number.POSITIVE_INFINITY);
    return reducedCost < gap;
  });
  return new Set(worth.map(({ tensor }) => tensor));
}
