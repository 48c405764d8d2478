/**
 * @file Level-switch mutation (Sieberling et al., "EvoPress: Accurate dynamic model compression via evolutionary search", 2024): one
 * gene goes up a level, others go down to pay for it, and the bytes stay within the budget. Of a handful of switches drawn at
 * random one is taken by how likely it is, for all that prices can be off, to lose less than what is there.
 */
import { type Assignment, bytesOf } from '../assignment.js';
import { fill, type Gene, levelsAbove, levelsBelow, type SearchSpace, setLevel, standing } from '../genes.js';
import { USUAL_PRICE_ERROR } from './standings.js';
import { drawWeighted, pick } from './draw.js';

const PROPOSALS = 16;
/** Genes that may go down for one that goes up. */
const MOST_PAYERS = 4;
/** Of the steps up, those that skip a level. */
const LONG_STEPS = 0.25;

/**
 * A neighbour within the budget; null where no switch was found.
 * @param priceError how far prices of tensors are off, as a share
 */
export function switchLevels(
  space: SearchSpace,
  assignment: Assignment,
  random: () => number,
  priceError: number = USUAL_PRICE_ERROR,
): Assignment | null {
  const proposals = Array.from({ length: PROPOSALS }, () => propose(space, assignment, random)).filter(
    (proposal) => proposal !== null,
  );
  if (proposals.length === 0) return null;
  const weights = proposals.map((proposal) => plausibility(space, assignment, proposal, priceError));
  return drawWeighted(proposals, weights, random);
}

function propose(space: SearchSpace, assignment: Assignment, random: () => number): Assignment | null {
  const raisable = space.genes.filter(
    (gene) => levelsAbove(gene, standing(space, gene, assignment)).length > 0,
  );
  if (raisable.length === 0) return null;
  const raised = pick(raisable, random);
  const above = levelsAbove(raised, standing(space, raised, assignment));
  const next = [...assignment];
  setLevel(next, raised, above[above.length > 1 && random() < LONG_STEPS ? 1 : 0]);
  const touched = new Set([raised]);
  if (!pay(space, next, touched, random)) return null;
  fill(space, next, touched);
  return next;
}

/** Lowers genes drawn at random until the bytes fit: each by the least that pays, or by a level where none pays alone. */
function pay(space: SearchSpace, next: number[], touched: Set<Gene>, random: () => number): boolean {
  for (let payers = 0; payers <= MOST_PAYERS; payers++) {
    const over = bytesOf(space.choices, next) - space.capacityBytes;
    if (over <= 0) return true;
    const payable = space.genes.filter(
      (gene) => !touched.has(gene) && levelsBelow(gene, standing(space, gene, next)).length > 0,
    );
    if (payable.length === 0) return false;
    const gene = pick(payable, random);
    const at = standing(space, gene, next);
    const below = levelsBelow(gene, at);
    setLevel(next, gene, below.find(({ bytes }) => at.bytes - bytes >= over) ?? below[0]);
    touched.add(gene);
  }
  return false;
}

/**
 * How likely the change is, up to a factor, to lose less: its price against the error of that price, each gene's own error
 * being a share of what its price changes by.
 */
function plausibility(space: SearchSpace, before: Assignment, after: Assignment, priceError: number): number {
  let change = 0;
  let variance = 0;
  for (const gene of space.genes) {
    const moved = standing(space, gene, after).klNats - standing(space, gene, before).klNats;
    change += moved;
    variance += (priceError * moved) ** 2;
  }
  if (change <= 0 || variance === 0) return 1;
  // Never nothing: prices may be wrong altogether.
  return Math.max(1e-9, Math.exp(-(change ** 2) / (2 * variance)));
}
