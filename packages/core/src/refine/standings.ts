/**
 * @file How plans stand that were measured on more or less text. Each is measured by its difference from one reference on the very
 * chunks that it ran over, so that a plan seen on easy chunks gains nothing by it. What a little text says is weighed against
 * what prices say: of many plans measured with noise the best looking ones owe most to the noise, and a plan that prices call
 * worse needs more evidence. How far prices can be trusted is learnt from the measurements themselves (empirical Bayes).
 */
import type { TokenizedText } from '../text/tokenize.js';
import { type Assignment, priceSumOf } from './assignment.js';
import { type SearchSpace, standing } from './genes.js';
import { type PairedDifference, pairedDifference } from './paired.js';
import type { PlanLedger } from './plan-ledger.js';

/** How far prices of tensors are off as long as nothing else is known, as a share of what they say. */
export const USUAL_PRICE_ERROR = 0.15;
/** Few plans on little text could say anything. */
const LEAST_PRICE_ERROR = 0.1;
const MOST_PRICE_ERROR = 1;

/** What prices say of a plan against the reference. */
interface Prior {
  readonly nats: number;
  /** Sum over the genes of their squared differences: times the squared price error, the variance of `nats`. */
  readonly squares: number;
}

export class Standings {
  readonly levels: readonly TokenizedText[];
  /** Root mean square of how far prices are off, as a share. */
  priceError = USUAL_PRICE_ERROR;
  private readonly ledger: PlanLedger;
  private readonly space: SearchSpace;
  private readonly reference: Assignment;
  private readonly priors = new WeakMap<Assignment, Prior>();

  constructor(
    ledger: PlanLedger,
    levels: readonly TokenizedText[],
    space: SearchSpace,
    reference: Assignment,
  ) {
    this.ledger = ledger;
    this.levels = levels;
    this.space = space;
    this.reference = reference;
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

  /** Expected difference from the reference in nats per token, by measurement and prices together. */
  expected(plan: Assignment): number {
    const { nats: predicted, squares } = this.prior(plan);
    if (this.reached(plan) === 0) return predicted;
    const { nats, standardError } = this.difference(plan);
    const prior = this.priceError ** 2 * squares;
    const noise = standardError ** 2;
    if (noise === Infinity || prior === 0) return predicted;
    return (nats * prior + predicted * noise) / (prior + noise);
  }

  /** Least expected loss first; ties in the order given. */
  ordered(plans: readonly Assignment[]): Assignment[] {
    const expected = new Map(plans.map((plan) => [plan, this.expected(plan)]));
    return plans.toSorted((a, b) => (expected.get(a) ?? 0) - (expected.get(b) ?? 0));
  }

  /** Learns how far prices are off: by how much more measured differences miss them than their noise explains. */
  learnPriceError(plans: readonly Assignment[]): void {
    let excess = 0;
    let spread = 0;
    for (const plan of plans) {
      const { nats: predicted, squares } = this.prior(plan);
      if (squares === 0 || this.reached(plan) === 0) continue;
      const { nats, standardError } = this.difference(plan);
      if (standardError === Infinity) continue;
      const weight = 1 / (standardError ** 2 + USUAL_PRICE_ERROR ** 2 * squares) ** 2;
      excess += weight * ((nats - predicted) ** 2 - standardError ** 2);
      spread += weight * squares;
    }
    if (spread === 0) return;
    const learnt = Math.sqrt(Math.max(0, excess / spread));
    this.priceError = Math.min(MOST_PRICE_ERROR, Math.max(LEAST_PRICE_ERROR, learnt));
  }

  /** Prices, in the proportion that the reference's own true loss has to them. */
  private prior(plan: Assignment): Prior {
    const known = this.priors.get(plan);
    if (known !== undefined) return known;
    const { space, reference } = this;
    const sequences = this.sequences(reference);
    const measured = sequences.reduce((sum, value) => sum + value, 0) / sequences.length;
    const predicted = priceSumOf(space.choices, reference);
    const scale = sequences.length > 0 && predicted > 0 ? measured / predicted : 1;
    const moved = space.genes.map(
      (gene) => scale * (standing(space, gene, plan).klNats - standing(space, gene, reference).klNats),
    );
    const prior = {
      nats: moved.reduce((sum, value) => sum + value, 0),
      squares: moved.reduce((sum, value) => sum + value ** 2, 0),
    };
    if (sequences.length > 0) this.priors.set(plan, prior);
    return prior;
  }
}
