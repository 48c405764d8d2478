/**
 * @file Where a population begins: the solver's plan, presets that fit, plans that the solver would make if prices were off by as
 * much as they may be, and single switches of its plan.
 */
import { leastSum } from '../../plan/least-sum.js';
import { type Assignment, genomeOf } from '../assignment.js';
import { fill, type SearchSpace, setLevel } from '../genes.js';
import { drawNormal } from './draw.js';
import { USUAL_PRICE_ERROR } from './standings.js';
import { switchLevels } from './mutation.js';

/** Of the plans around the solver's, those that come from perturbed prices. */
const PERTURBED = 0.5;
/** Draws for one new plan before the space counts as used up. */
const MOST_DRAWS = 50;
/** Partial plans a perturbed solution may take: what it finds need not be proven best. */
const WORK_LIMIT = 50_000;

/**
 * Plans around the solver's, all different from each other and from those given.
 * @returns up to `count`: fewer where the space has no more
 */
export function neighbours(
  space: SearchSpace,
  plan: Assignment,
  given: readonly Assignment[],
  count: number,
  random: () => number,
): Assignment[] {
  const seen = new Set(given.map((assignment) => genomeOf(space.choices, assignment)));
  const found: Assignment[] = [];
  for (let draw = 0; found.length < count && draw < MOST_DRAWS * count; draw++) {
    const next =
      found.length < count * PERTURBED && draw < (MOST_DRAWS * count) / 2
        ? perturbedSolution(space, random)
        : switchLevels(space, plan, random);
    if (next === null) continue;
    const genome = genomeOf(space.choices, next);
    if (seen.has(genome)) continue;
    seen.add(genome);
    found.push(next);
  }
  return found;
}

/** The best plan if every gene's prices were off by a factor of its own. */
function perturbedSolution(space: SearchSpace, random: () => number): Assignment {
  return solveWith(
    space,
    space.genes.map(() => Math.exp(USUAL_PRICE_ERROR * drawNormal(random))),
  );
}

/** The best plan by the prices times these factors, gene by gene. */
export function solveWith(space: SearchSpace, factors: ArrayLike<number>): Assignment {
  const choices = space.genes.map(({ levels }, gene) => ({
    candidates: levels.map(({ bytes, klNats }) => ({ bytes, klNats: klNats * factors[gene] })),
  }));
  const { picked } = leastSum(choices, space.capacityBytes, { workLimit: WORK_LIMIT });
  const next: number[] = space.choices.map(() => 0);
  space.genes.forEach((gene, index) => setLevel(next, gene, gene.levels[picked[index]]));
  fill(space, next);
  return next;
}
