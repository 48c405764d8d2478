/**
 * @file The search around the core. Where the relaxed plan breaks at a choice whose step is far larger than the others (an
 * embedding among small matrices), the relaxation is loose and the core is wide. Then the problem is parted: one part for each
 * candidate of that choice, each with a relaxation of its own, the part with the least bound first. What is left inside a
 * part is even, and its core is small. All work is counted, none is timed, so that the same input gives the same answer.
 */
import { searchCore } from './core.js';
import type { Frontier } from './frontier.js';
import { FREE, type HullSteps, relax, type Relaxation, sortedSteps } from './relaxation.js';

/** Costs are sums of rounded numbers: a plan that is better by less than this is not better. */
const RELATIVE_TOLERANCE = 1e-12;
/** Part of the work that a first, narrow search of a part may use. */
const NARROW_SHARE = 0.1;
/** A step is coarse when it is so much larger than the typical one. */
const COARSE = 4;
/** Choices that are parted one inside the other. */
const MOST_DEPTH = 4;

export interface KnapsackSolution {
  readonly positions: Int32Array;
  /** No plan within the capacity costs less, up to rounding. */
  readonly lowerBound: number;
  /** True when the plan is the best there is. */
  readonly exact: boolean;
  /** Nats per byte of the whole problem's relaxation. */
  readonly rate: number;
}

/** Some choices decided, the others free. */
interface Part {
  /** Position of every decided choice, `FREE` for the others. */
  readonly fixed: Int32Array;
  readonly depth: number;
  readonly relaxation: Relaxation;
}

/**
 * The best plan found with `workLimit` partial plans, and what is proven about it.
 * @param known a plan to start from, where one is known
 */
export function solveParts(
  frontiers: readonly Frontier[],
  capacity: number,
  workLimit: number,
  known: Int32Array | null = null,
): KnapsackSolution {
  const search = new PartSearch(frontiers, capacity, workLimit);
  if (known !== null) search.startFrom(known);
  return search.run();
}

class PartSearch {
  private readonly frontiers: readonly Frontier[];
  private readonly capacity: number;
  private readonly workLimit: number;
  private readonly steps: HullSteps;
  private readonly coarseBytes: number;
  private workLeft: number;
  private open: Part[] = [];
  private best: { readonly positions: Int32Array; readonly cost: number };
  private readonly rate: number;
  /** Least bound among the parts that were given up. */
  private leastGivenUp = Infinity;

  constructor(frontiers: readonly Frontier[], capacity: number, workLimit: number) {
    this.frontiers = frontiers;
    this.capacity = capacity;
    this.workLimit = workLimit;
    this.workLeft = workLimit;
    this.steps = sortedSteps(frontiers);
    this.coarseBytes = COARSE * this.steps.medianBytes;
    const fixed = new Int32Array(frontiers.length).fill(FREE);
    const relaxation = relax(frontiers, capacity, this.steps, fixed);
    if (relaxation === null) throw new RangeError('the smallest candidates must fit the capacity');
    this.best = relaxation.greedy;
    this.rate = relaxation.rate;
    this.open.push({ fixed, depth: 0, relaxation });
  }

  startFrom(positions: Int32Array): void {
    let bytes = 0;
    let cost = 0;
    for (let choice = 0; choice < positions.length; choice++) {
      bytes += this.frontiers[choice].bytes[positions[choice]];
      cost += this.frontiers[choice].cost[positions[choice]];
    }
    if (bytes <= this.capacity && cost < this.best.cost - this.tolerance) this.best = { positions, cost };
  }

  run(): KnapsackSolution {
    for (let part = this.next(); part !== null; part = this.next()) this.examine(part);
    const { positions, cost } = this.best;
    const exact = this.leastGivenUp >= cost - this.tolerance;
    return { positions, lowerBound: Math.min(cost, this.leastGivenUp), exact, rate: this.rate };
  }

  private get tolerance(): number {
    return RELATIVE_TOLERANCE * Math.abs(this.best.cost);
  }

  /** The open part of the least bound; null when no part can hold a better plan, or the work is used up. */
  private next(): Part | null {
    const hopeless = this.best.cost - this.tolerance;
    this.open = this.open.filter(({ relaxation }) => relaxation.lowerBound < hopeless);
    if (this.open.length === 0) return null;
    const bounds = this.open.map(({ relaxation }) => relaxation.lowerBound);
    const least = Math.min(...bounds);
    if (this.workLeft <= 0) {
      this.leastGivenUp = Math.min(this.leastGivenUp, least);
      return null;
    }
    return this.open.splice(bounds.indexOf(least), 1)[0];
  }

  private examine(part: Part): void {
    if (this.searched(part, this.workLimit * NARROW_SHARE).exact) return;
    const { breakStep } = part.relaxation;
    if (breakStep !== null && breakStep.bytes > this.coarseBytes && part.depth < MOST_DEPTH) {
      this.split(part, breakStep.choice);
      return;
    }
    const { exact, lowerBound } = this.searched(part, this.workLeft);
    if (!exact) {
      const bound = Math.max(lowerBound, part.relaxation.lowerBound);
      this.leastGivenUp = Math.min(this.leastGivenUp, bound);
    }
  }

  private searched(part: Part, work: number): { exact: boolean; lowerBound: number } {
    const { frontiers, capacity, best } = this;
    const found = searchCore(frontiers, capacity, part, best, Math.min(work, this.workLeft));
    this.workLeft -= found.work;
    if (found.cost < best.cost - this.tolerance) this.best = found;
    return found;
  }

  private split({ fixed, depth }: Part, choice: number): void {
    const candidates = this.frontiers[choice].bytes.length;
    for (let position = 0; position < candidates; position++) {
      const decided = fixed.slice();
      decided[choice] = position;
      this.workLeft -= this.frontiers.length;
      const relaxation = relax(this.frontiers, this.capacity, this.steps, decided);
      if (relaxation === null) continue;
      if (relaxation.greedy.cost < this.best.cost - this.tolerance) this.best = relaxation.greedy;
      this.open.push({ fixed: decided, depth: depth + 1, relaxation });
    }
  }
}
