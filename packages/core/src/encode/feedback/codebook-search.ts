/**
 * @file Points and signs for eight weights, given their scale, what they should be, and a metric of eight by eight for what they get
 * wrong. Signs are those of the wish; points that a diagonal metric ranks first are priced exactly, each with the one sign turned
 * that gains most, or that makes the number of negative weights even at the least cost.
 */
import type { Codebook } from './codebook.js';
import { PointRanking, type Shortlist } from './codebook-shortlist.js';
import { EIGHT } from './eights-metric.js';

/** Points that are priced exactly, for one or for each of two. */
const TRIED = { 8: 4, 4: 2 } as const;

export class EightSearch {
  /** What was found: a point or two, bit k set for a negative weight k, and the weights. */
  readonly points: Uint16Array;
  signs = 0;
  readonly values = new Float64Array(EIGHT);

  private readonly codebook: Codebook;
  private readonly even: boolean;
  /** Of one point, or of two. */
  private readonly rankings: readonly PointRanking[];
  private readonly metric = new Float64Array(EIGHT * EIGHT);
  private readonly wish = new Float64Array(EIGHT);
  private scale = 1;
  private wishedSigns = 0;
  /** Whether a sign has to be turned. */
  private turn = false;
  private readonly trial = new Float64Array(EIGHT);
  private readonly errors = new Float64Array(EIGHT);
  private readonly slopes = new Float64Array(EIGHT);
  private least = Infinity;

  /** @param even whether an even number of the eight has to be negative */
  constructor(codebook: Codebook, even: boolean) {
    const { dimensions } = codebook;
    const points = EIGHT / dimensions;
    this.codebook = codebook;
    this.even = even;
    this.points = new Uint16Array(points);
    this.rankings = Array.from({ length: points }, () => new PointRanking(codebook, TRIED[dimensions]));
  }

  /**
   * @param wish what the weights should be
   * @param metrics the metric's 64 entries stand at `at`
   * @param scale of the unit of points; positive
   * @returns what the weights found cost
   */
  find(wish: Float64Array, metrics: Float64Array, at: number, scale: number): number {
    for (let i = 0; i < this.metric.length; i++) this.metric[i] = metrics[at + i];
    this.wishedSigns = 0;
    for (let k = 0; k < EIGHT; k++) {
      this.wish[k] = wish[k];
      if (wish[k] < 0) this.wishedSigns |= 1 << k;
    }
    this.scale = scale;
    this.turn = this.even && isOdd(this.wishedSigns);
    this.least = Infinity;
    const { rankings, turn, codebook } = this;
    for (let part = 0; part < rankings.length; part++)
      rankings[part].price(wish, this.metric, part * codebook.dimensions, scale, turn);
    if (rankings.length === 1) this.tryOne(rankings[0]);
    else this.tryTwo(rankings[0], rankings[1]);
    return this.least;
  }

  private tryOne(ranking: PointRanking): void {
    if (this.turn) ranking.rankOneTurned();
    else ranking.rankAsWished();
    const { points } = this.turn ? ranking.oneTurned : ranking.asWished;
    for (let i = 0; i < points.length; i++) this.tryPoints(points[i], 0);
  }

  /** A sign is turned of one or of the other. */
  private tryTwo(first: PointRanking, second: PointRanking): void {
    first.rankAsWished();
    second.rankAsWished();
    if (!this.turn) {
      this.tryPairs(first.asWished, second.asWished);
      return;
    }
    first.rankOneTurned();
    second.rankOneTurned();
    this.tryPairs(first.oneTurned, second.asWished);
    this.tryPairs(first.asWished, second.oneTurned);
  }

  private tryPairs({ points: first }: Shortlist, { points: second }: Shortlist): void {
    for (let i = 0; i < first.length; i++)
      for (let j = 0; j < second.length; j++) this.tryPoints(first[i], second[j]);
  }

  /** Prices points exactly, and keeps them where they are the best. */
  private tryPoints(first: number, second: number): void {
    const { codebook, trial, errors, wish, scale, wishedSigns } = this;
    const { dimensions, values } = codebook;
    for (let k = 0; k < EIGHT; k++) {
      const at = k < dimensions ? first * dimensions + k : second * dimensions + k - dimensions;
      const value = scale * values[at];
      trial[k] = (wishedSigns >> k) & 1 ? -value : value;
      errors[k] = trial[k] - wish[k];
    }
    const cost = this.cost();
    const turned = this.turn || !this.even ? this.bestTurned() : -1;
    const total = turned < 0 ? cost : cost + this.turning(turned);
    if (total >= this.least) return;
    this.least = total;
    this.points[0] = first;
    if (this.points.length > 1) this.points[1] = second;
    this.signs = wishedSigns;
    for (let k = 0; k < EIGHT; k++) this.values[k] = trial[k];
    if (turned < 0) return;
    this.signs ^= 1 << turned;
    this.values[turned] = -trial[turned];
  }

  /** Of the trial; leaves slopes. */
  private cost(): number {
    const { metric, errors, slopes } = this;
    let cost = 0;
    for (let k = 0, at = 0; k < EIGHT; k++, at += EIGHT) {
      let slope = 0;
      for (let i = 0; i < EIGHT; i++) slope += metric[at + i] * errors[i];
      slopes[k] = slope;
      cost += slope * errors[k];
    }
    return cost;
  }

  /** The sign that is best turned; -1 where none has to be and none gains. */
  private bestTurned(): number {
    let least = this.turn ? Infinity : 0;
    let best = -1;
    for (let k = 0; k < EIGHT; k++) {
      const added = this.turning(k);
      if (added >= least) continue;
      least = added;
      best = k;
    }
    return best;
  }

  /** What turning a sign of the trial adds to its cost. */
  private turning(k: number): number {
    const value = this.trial[k];
    return 4 * value * (this.metric[9 * k] * value - this.slopes[k]);
  }
}

function isOdd(bits: number): boolean {
  let odd = bits ^ (bits >> 4);
  odd ^= odd >> 2;
  odd ^= odd >> 1;
  return (odd & 1) === 1;
}
