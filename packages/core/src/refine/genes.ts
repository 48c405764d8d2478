/**
 * @file What a search may turn: a gene is a choice, or choices that must share a scheme, with the levels between which it can
 * be switched. Bytes go up along the levels and prices go down; what another candidate beats in both is no level. Repairing and
 * filling by price per byte are what every change of a plan ends with.
 */
import type { Choice } from '../plan/types.js';
import { type Assignment, bytesOf } from './assignment.js';

export interface Level {
  /** Index of the candidate, for each member. */
  readonly picks: readonly number[];
  readonly bytes: number;
  readonly klNats: number;
}

export interface Gene {
  /** Indices of the choices that change together. */
  readonly members: readonly number[];
  /** The block that the members stand in; null outside the blocks, or across several. */
  readonly block: number | null;
  /** Bytes ascending, prices strictly descending. Fewer than two where nothing is free. */
  readonly levels: readonly Level[];
}

export interface SearchSpace {
  readonly choices: readonly Choice[];
  readonly genes: readonly Gene[];
  /** Bytes that all tensors together may take. */
  readonly capacityBytes: number;
}

/**
 * @param blockOf the block of a tensor
 * @param coupled names of tensors that must share a scheme, group by group
 */
export function searchSpace(
  choices: readonly Choice[],
  capacityBytes: number,
  blockOf: (tensor: string) => number | null,
  coupled: readonly (readonly string[])[] = [],
): SearchSpace {
  const index = new Map(choices.map(({ tensor }, position) => [tensor, position]));
  const groups = coupled.map((names) => names.flatMap((name) => index.get(name) ?? []));
  const grouped = new Set(groups.flat());
  const single = choices.flatMap((_, position) => (grouped.has(position) ? [] : [[position]]));
  const genes = [...groups.filter((members) => members.length > 0), ...single]
    .map((members) => geneOf(choices, members, blockOf))
    .toSorted((a, b) => a.members[0] - b.members[0]);
  return { choices, genes, capacityBytes };
}

function geneOf(
  choices: readonly Choice[],
  members: readonly number[],
  blockOf: (tensor: string) => number | null,
): Gene {
  const blocks = new Set(members.map((member) => blockOf(choices[member].tensor)));
  const [first] = members;
  const shared = choices[first].candidates.flatMap(({ scheme }): Level[] => {
    const picks = members.map((member) =>
      choices[member].candidates.findIndex((candidate) => candidate.scheme === scheme),
    );
    return picks.includes(-1) ? [] : [levelOf(choices, members, picks)];
  });
  return { members, block: blocks.size === 1 ? [...blocks][0] : null, levels: undominated(shared) };
}

function levelOf(choices: readonly Choice[], members: readonly number[], picks: readonly number[]): Level {
  const taken = members.map((member, position) => choices[member].candidates[picks[position]]);
  return {
    picks,
    bytes: taken.reduce((sum, { bytes }) => sum + bytes, 0),
    klNats: taken.reduce((sum, { klNats }) => sum + klNats, 0),
  };
}

function undominated(levels: readonly Level[]): Level[] {
  const kept: Level[] = [];
  for (const level of levels.toSorted((a, b) => a.bytes - b.bytes || a.klNats - b.klNats)) {
    const best = kept.at(-1);
    if (best === undefined || level.klNats < best.klNats) kept.push(level);
  }
  return kept;
}

/** Where a gene stands: on one of its levels, or on candidates that are none. */
export function standing({ choices }: SearchSpace, { members }: Gene, assignment: Assignment): Level {
  return levelOf(
    choices,
    members,
    members.map((member) => assignment[member]),
  );
}

/** Larger levels that are priced lower, nearest first. */
export function levelsAbove(gene: Gene, at: Level): Level[] {
  return gene.levels.filter(({ bytes, klNats }) => bytes > at.bytes && klNats < at.klNats);
}

/** Smaller levels, nearest first. */
export function levelsBelow(gene: Gene, at: Level): Level[] {
  return gene.levels.filter(({ bytes }) => bytes < at.bytes).toReversed();
}

export function setLevel(assignment: number[], { members }: Gene, { picks }: Level): void {
  members.forEach((member, position) => {
    assignment[member] = picks[position];
  });
}

interface Step {
  readonly gene: Gene;
  readonly level: Level;
  readonly natsPerByte: number;
}

/** Lowers genes, cheapest nats a byte first, until the bytes fit. Where even the lowest levels do not, all stand on those. */
export function repair(space: SearchSpace, assignment: number[]): void {
  while (bytesOf(space.choices, assignment) > space.capacityBytes) {
    let best: Step | null = null;
    for (const gene of space.genes) {
      const at = standing(space, gene, assignment);
      for (const level of levelsBelow(gene, at)) {
        const natsPerByte = (level.klNats - at.klNats) / (at.bytes - level.bytes);
        if (best === null || natsPerByte < best.natsPerByte) best = { gene, level, natsPerByte };
      }
    }
    if (best === null) return;
    setLevel(assignment, best.gene, best.level);
  }
}

/** Raises genes, most nats saved a byte first, while bytes are left. */
export function fill(space: SearchSpace, assignment: number[], except: ReadonlySet<Gene> = new Set()): void {
  let left = space.capacityBytes - bytesOf(space.choices, assignment);
  for (;;) {
    let best: Step | null = null;
    for (const gene of space.genes) {
      if (except.has(gene)) continue;
      const at = standing(space, gene, assignment);
      for (const level of levelsAbove(gene, at)) {
        if (level.bytes - at.bytes > left) break;
        const natsPerByte = (at.klNats - level.klNats) / (level.bytes - at.bytes);
        if (best === null || natsPerByte > best.natsPerByte) best = { gene, level, natsPerByte };
      }
    }
    if (best === null) return;
    left -= best.level.bytes - standing(space, best.gene, assignment).bytes;
    setLevel(assignment, best.gene, best.level);
  }
}
