/**
 * @file The points of a grid that are worth an exact price: the best few under a metric that is only diagonal. By that a point costs what
 * its two halves cost, so a few sums price all points with the same first half, and most first halves are too dear for any second.
 */
import type { Codebook } from './codebook.js';

/** What first and second halves cost, by half. */
type Costs = readonly [Float64Array, Float64Array];

export class PointRanking {
  /** The best with signs as they are, best first, and with one sign turned. */
  readonly asWished: Shortlist;
  readonly oneTurned: Shortlist;
  private readonly codebook: Codebook;
  private readonly costs: Costs;
  /** What turning one sign of a half adds. */
  private readonly turning: Costs;

  constructor(codebook: Codebook, length: number) {
    const costs = (): Costs => [new Float64Array(codebook.halves), new Float64Array(codebook.halves)];
    this.codebook = codebook;
    this.costs = costs();
    this.turning = costs();
    this.asWished = new Shortlist(codebook, length);
    this.oneTurned = new Shortlist(codebook, length);
  }

  /**
   * Prices halves.
   * @param wish what eight weights should be, the point's from `first` on
   * @param metric of eight by eight
   * @param turns whether signs may have to be turned
   */
  price(wish: Float64Array, metric: Float64Array, first: number, scale: number, turns: boolean): void {
    const { levels, dimensions } = this.codebook;
    const count = levels.length;
    const length = dimensions / 2;
    for (let half = 0; half < 2; half++) {
      const costs = this.costs[half];
      const turning = this.turning[half];
      costs[0] = 0;
      turning[0] = Infinity;
      for (let axis = 0, known = 1; axis < length; axis++, known *= count) {
        const k = first + half * length + axis;
        const weight = metric[9 * k];
        const size = Math.abs(wish[k]);
        // The lowest level last: its places hold what is known.
        for (let level = count - 1; level >= 0; level--) {
          const value = scale * levels[level];
          const cost = weight * (value - size) * (value - size);
          const at = level * known;
          for (let i = 0; i < known; i++) costs[at + i] = costs[i] + cost;
          if (!turns) continue;
          const added = 4 * weight * value * size;
          for (let i = 0; i < known; i++) turning[at + i] = Math.min(turning[i], added);
        }
      }
    }
  }

  rankAsWished(): void {
    this.asWished.fill(this.costs, null);
  }

  rankOneTurned(): void {
    this.oneTurned.fill(this.costs, this.turning);
  }
}

/** Best first; at least one. */
export class Shortlist {
  readonly points: Uint16Array;
  private readonly prices: Float64Array;
  private readonly codebook: Codebook;

  constructor(codebook: Codebook, length: number) {
    this.codebook = codebook;
    this.points = new Uint16Array(length);
    this.prices = new Float64Array(length);
  }

  /** @param turning null where no sign is turned; else a point costs the less of what its halves add */
  fill(costs: Costs, turning: Costs | null): void {
    const { prices } = this;
    const [first, second] = costs;
    const least = leastOf(second);
    const best = first.indexOf(leastOf(first));
    const worst = prices.length - 1;
    prices.fill(Infinity);
    this.scan(best, costs, turning);
    for (let half = 0; half < first.length; half++)
      if (first[half] + least < prices[worst] && half !== best) this.scan(half, costs, turning);
  }

  /** Takes points with this first half that are better than the worst. */
  private scan(half: number, costs: Costs, turning: Costs | null): void {
    const { prices, points } = this;
    const { starts, second, order } = this.codebook;
    const own = costs[0][half];
    const others = costs[1];
    const last = points.length - 1;
    for (let index = starts[half], end = starts[half + 1]; index < end; index++) {
      const other = second[index];
      let price = own + others[other];
      if (turning !== null) price += Math.min(turning[0][half], turning[1][other]);
      if (price >= prices[last]) continue;
      let place = last;
      for (; place > 0 && prices[place - 1] > price; place--) {
        prices[place] = prices[place - 1];
        points[place] = points[place - 1];
      }
      prices[place] = price;
      points[place] = order[index];
    }
  }
}

function leastOf(costs: Float64Array): number {
  let least = Infinity;
  for (let half = 0; half < costs.length; half++) if (costs[half] < least) least = costs[half];
  return least;
}
