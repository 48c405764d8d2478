/**
 * @file The order of a gradual descent: blocks from the least important to the most, tensors within them likewise, and how much of
 * what the descent may lose each block is granted. Importance is the price at the middle of the ladder.
 */
import type { Choice } from '../../plan/types.js';
import { findScheme } from '../../plan/schemes.js';
import type { Gene, Level, SearchSpace } from '../genes.js';

export interface Stage {
  /** `block 3`, or the tensor's name outside the blocks. */
  readonly name: string;
  readonly block: number | null;
  /** From the least important on. */
  readonly genes: readonly Gene[];
  /** Nats that the genes are priced at on the middle of the ladder. */
  readonly importance: number;
  /** Of what the descent may lose; all shares together are 1. */
  readonly share: number;
}

/** @param elementsOf weights of a tensor */
export function stagesOf(
  space: SearchSpace,
  ladder: readonly number[],
  natsPerByte: number,
  elementsOf: (tensor: string) => number,
): Stage[] {
  const importance = new Map(
    space.genes.map((gene) => [gene, importanceOf(space, gene, ladder, natsPerByte)]),
  );
  const groups = groupsOf(space).map((genes) => {
    const ordered = genes.toSorted((a, b) => (importance.get(a) ?? 0) - (importance.get(b) ?? 0));
    const sum = genes.reduce((total, gene) => total + (importance.get(gene) ?? 0), 0);
    const weights = genes.reduce((total, gene) => total + weightsOf(space.choices, gene, elementsOf), 0);
    return { genes: ordered, importance: sum, grant: grantOf(weights, sum) };
  });
  const all = groups.reduce((sum, { grant }) => sum + grant, 0);
  return groups
    .map(({ genes, importance: nats, grant }) => ({
      name: nameOf(space, genes[0]),
      block: genes[0].block,
      genes,
      importance: nats,
      share: all > 0 ? grant / all : 0,
    }))
    .toSorted((a, b) => a.importance - b.importance || (a.block ?? Infinity) - (b.block ?? Infinity));
}

/**
 * In the best plan weights lose alike wherever they stand (the loss of a weight falls fourfold with each bit, so equal slopes are
 * equal losses). A descent does not come back to the blocks that it leaves, so less important ones are granted more than that,
 * by the root of how much less important a weight of theirs is; what they leave over goes on to the next.
 */
function grantOf(weights: number, importance: number): number {
  return importance > 0 ? weights / Math.sqrt(importance / weights) : 0;
}

/** Genes with something to choose, by block; those outside the blocks each for themselves. */
function groupsOf({ genes }: SearchSpace): Gene[][] {
  const groups = new Map<number | Gene, Gene[]>();
  for (const gene of genes.filter(({ levels }) => levels.length > 1)) {
    const key = gene.block ?? gene;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [gene]);
    else group.push(gene);
  }
  return [...groups.values()];
}

function nameOf({ choices }: SearchSpace, { block, members }: Gene): string {
  return block === null ? choices[members[0]].tensor : `block ${block}`;
}

function weightsOf(
  choices: readonly Choice[],
  { members }: Gene,
  elementsOf: (tensor: string) => number,
): number {
  return members.reduce((sum, member) => sum + elementsOf(choices[member].tensor), 0);
}

function importanceOf(
  space: SearchSpace,
  gene: Gene,
  ladder: readonly number[],
  natsPerByte: number,
): number {
  const middle = (ladder.length - 1) / 2;
  const nearest = ladder.toSorted(
    (a, b) => Math.abs(ladder.indexOf(a) - middle) - Math.abs(ladder.indexOf(b) - middle),
  );
  for (const bits of nearest) {
    const level = levelOfBits(space, gene, bits, natsPerByte);
    if (level !== null) return level.klNats;
  }
  return gene.levels[0]?.klNats ?? 0;
}

/**
 * The gene's level at a number of nominal bits: of the schemes that differ in group size and kind of codes the one that loses
 * least at the exchange rate between bytes and nats.
 */
export function levelOfBits(
  { choices }: SearchSpace,
  { members, levels }: Gene,
  bits: number,
  natsPerByte: number,
): Level | null {
  const cost = ({ klNats, bytes }: Level): number => klNats + natsPerByte * bytes;
  const open = levels.filter(({ picks }) => {
    const { scheme } = choices[members[0]].candidates[picks[0]];
    return findScheme(scheme)?.bits === bits;
  });
  return open.length === 0 ? null : open.reduce((best, level) => (cost(level) < cost(best) ? level : best));
}
