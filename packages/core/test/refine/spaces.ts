/** @file Priced models to search over, and losses that stand for a live model's. */
import { searchSpace, type SearchSpace } from '../../src/refine/genes.js';
import { blockOf } from '../../src/model/roles.js';
import { solve } from '../../src/plan/solve.js';
import type { Choice } from '../../src/plan/types.js';
import { choicesOf, smallLlama } from '../plan/models.js';

/** Bytes at a share of the way from the smallest plan to the largest. */
function capacityOf(choices: readonly Choice[], share: number): number {
  const sum = (pick: (...bytes: number[]) => number): number =>
    choices.reduce((total, { candidates }) => total + pick(...candidates.map(({ bytes }) => bytes)), 0);
  return Math.floor(sum(Math.min) + share * (sum(Math.max) - sum(Math.min)));
}

export function spaceOf(
  seed: number,
  share: number,
  coupled: readonly (readonly string[])[] = [],
): SearchSpace {
  const choices = choicesOf(smallLlama(3), new Map(), seed);
  return searchSpace(choices, capacityOf(choices, share), blockOf, coupled);
}

export function solvedOf(space: SearchSpace): number[] {
  const { picked } = solve(
    space.genes.map(({ levels }) => ({ candidates: levels })),
    space.capacityBytes,
  );
  const assignment: number[] = space.choices.map(() => 0);
  space.genes.forEach(({ members, levels }, gene) =>
    members.forEach((member, position) => {
      assignment[member] = levels[picked[gene]].picks[position];
    }),
  );
  return assignment;
}
