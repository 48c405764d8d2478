/**
 * @file Crossover by blocks: each transformer block comes whole from one parent or the other, evenly, for what a block's tensors lose
 * belongs together more than what stands in different blocks. Genes outside the blocks come one by one. The child is then
 * brought back to the budget.
 */
import type { Assignment } from '../assignment.js';
import { fill, type Gene, repair, type SearchSpace } from '../genes.js';

export function crossBlocks(
  space: SearchSpace,
  first: Assignment,
  second: Assignment,
  random: () => number,
): Assignment {
  const child = [...first];
  for (const genes of byBlock(space.genes)) {
    if (random() < 0.5) continue;
    for (const { members } of genes) for (const member of members) child[member] = second[member];
  }
  repair(space, child);
  fill(space, child);
  return child;
}

function byBlock(genes: readonly Gene[]): Gene[][] {
  const blocks = new Map<number | Gene, Gene[]>();
  for (const gene of genes) {
    const key = gene.block ?? gene;
    const group = blocks.get(key);
    if (group === undefined) blocks.set(key, [gene]);
    else group.push(gene);
  }
  return [...blocks.values()];
}
