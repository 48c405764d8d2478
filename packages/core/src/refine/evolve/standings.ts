/**
 * @file How plans stand that were measured on more or less text. Each is measured by its difference from one reference on the very
 * chunks that it ran over, so that a plan seen on easy chunks gains nothing by it. What a little text says of one plan is weighed
 * against what prices, and all other plans measured, say of it: of many plans measured with noise the best looking ones owe most
 * to the noise.
 */
import type { TokenizedText } from '../../text/tokenize.js';
import { type Assignment, priceSumOf } from '../assignment.js';
import { noiseOf, type PlanEvidence, PriceErrors } from './price-errors.js';
import { type SearchSpace, standing } from '../genes.js';
import { type PairedDifference, pairedDifference } from '../paired.js';
import type { PlanLedger } from '../plan-ledger.js';

/** How far prices of tensors are off as long as nothing else is known, as a share of what they say. */
export const USUAL_PRICE_ERROR = 0.15;
/** Few plans on little text could say anything. */
const LEAST_PRICE_ERROR = 0.1;
const MOST_PRICE_ERROR = 1;

export class Standings {
  readonly levels: readonly TokenizedText[];
  /** Root mean square of how far prices are off, as a share, by all that was measured. */
  priceError = USUAL_PRICE_ERROR;
  private errors: PriceErrors;
  private readonly ledger: PlanLedger;
  private readonly space: SearchSpace;
  private readonly reference: Assignment;
  private readonly predictedNats: number;
  private readonly measured = new Set<Assignment>();
  private readonly moves = new WeakMap<Assignment, Float64Array>();

  constructor(
    ledger: PlanLedger,
    levels: readonly TokenizedText[],
    space: SearchSpace,
    reference: Assignment,
    predictedNats: number = priceSumOf(space.choices, reference),
  ) {
    this.ledger = ledger;
    this.levels = levels;
    this.space = space;
    this.reference = reference;
    this.predictedNats = predictedNats;
    this.errors = new PriceErrors([], space.genes.length, this.priceError);
  }

  /** Levels that a plan was measured on, from the first on without a gap. */
  reached(plan: Assignment): number {
    const first = this.levels.findIndex((level) => this.ledger.lossOn(level, plan) === null);
    return first < 0 ? this.levels.length : first;
  }

  /** Mean loss of each sequence of the first `levels`. */
  sequences(plan: Assignment, levels: number = this.reached(plan)): number[] {
    return this.levels
      .slice(0, levels)
      .flatMap((level) => this.ledger.lossOn(level, plan)?.sequenceKlNats ?? []);
  }

  /** A plan against the reference as measured, on what both ran over. */
  difference(plan: Assignment): PairedDifference {
    const levels = Math.min(this.reached(plan), this.reached(this.reference));
    return pairedDifference(this.sequences(plan, levels), this.sequences(this.reference, levels));
  }

  /** Expected difference from the reference in nats per token, by all that was measured and by prices. */
  expected(plan: Assignment): number {
    return this.errors.expected(this.moved(plan));
  }

  /** Least expected loss first; ties in the order given. */
  ordered(plans: readonly Assignment[]): Assignment[] {
    const expected = new Map(plans.map((plan) => [plan, this.expected(plan)]));
    return plans.toSorted((a, b) => (expected.get(a) ?? 0) - (expected.get(b) ?? 0));
  }

  /** What each gene's price may have to be multiplied by, for all that is known. */
  drawFactors(random: () => number): Float64Array {
    return this.errors.draw(random);
  }

  /** Takes in what was measured of these plans, and of those before. */
  learn(plans: readonly Assignment[]): void {
    for (const plan of plans) if (this.reached(plan) > 0) this.measured.add(plan);
    const evidence = [...this.measured].map((plan): PlanEvidence => ({
      moved: this.moved(plan),
      ...this.difference(plan),
    }));
    this.priceError = priceErrorOf(evidence);
    this.errors = new PriceErrors(evidence, this.space.genes.length, this.priceError);
  }

  /** By gene, what its price changes by: in the proportion that the reference's own true loss has to what is predicted of it. */
  private moved(plan: Assignment): Float64Array {
    const known = this.moves.get(plan);
    if (known !== undefined) return known;
    const { space, reference } = this;
    const [first] = this.levels;
    const measured = this.ledger.lossOn(first, reference)?.klNats;
    const scale = measured !== undefined && this.predictedNats > 0 ? measured / this.predictedNats : 1;
    const moved = Float64Array.from(
      space.genes,
      (gene) => scale * (standing(space, gene, plan).klNats - standing(space, gene, reference).klNats),
    );
    if (measured !== undefined) this.moves.set(plan, moved);
    return moved;
  }
}

/** How far prices are off: by how much more measured differences miss them than their noise explains. */
function priceErrorOf(evidence: readonly PlanEvidence[]): number {
  let excess = 0;
  let spread = 0;
  for (const each of evidence) {
    const { moved, nats } = each;
    const noise = noiseOf(each);
    const predicted = moved.reduce((sum, value) => sum + value, 0);
    const squares = moved.reduce((sum, value) => sum + value ** 2, 0);
    if (squares === 0 || noise === Infinity) continue;
    const weight = 1 / (noise ** 2 + USUAL_PRICE_ERROR ** 2 * squares) ** 2;
    excess += weight * ((nats - predicted) ** 2 - noise ** 2);
    spread += weight * squares;
  }
  if (spread === 0) return USUAL_PRICE_ERROR;
  return Math.min(MOST_PRICE_ERROR, Math.max(LEAST_PRICE_ERROR, Math.sqrt(Math.max(0, excess / spread))));
}
