/**
 * @file The points of a grid that are worth an exact price: the best few under a metric that is only diagonal. By that a point costs what
 * its two halves cost, so a few sums price all points with the same first half, and most first halves are too dear for any second.
 */
import type { Codebook } from './codebook.js';

/** What first and second halves cost, by half. */
type Costs = readonly [Float64Array, Float64Array];

/** The half that costs least, and what it costs, of the first and of the second. */
interface Cheapest {
  readonly halves: Uint8Array;
  readonly costs: Float64Array;
}

export class PointRanking {
  /** The best with signs as they are, best first, and with one sign turned. */
  readonly asWished: Shortlist;
  readonly oneTurned: Shortlist;
  private readonly codebook: Codebook;
  private readonly costs: Costs;
  /** What turning one sign of a half adds. */
  private readonly turning: Costs;
  private readonly cheapest: Cheapest = { halves: new Uint8Array(2), costs: new Float64Array(2) };

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
      costs[0] = 0;
      this.turning[half][0] = Infinity;
      this.cheapest.halves[half] = 0;
      this.cheapest.costs[half] = 0;
      for (let axis = 0, known = 1; axis < length; axis++, known *= count) {
        const k = first + half * length + axis;
        const size = Math.abs(wish[k]);
        this.priceAxis(half, known, size, metric[9 * k], scale);
        if (turns) this.priceTurning(half, known, 4 * size * metric[9 * k] * scale);
      }
    }
  }

  /** Makes of prices of the axes before, which have as many combinations as are known, those of one more. */
  private priceAxis(half: number, known: number, size: number, weight: number, scale: number): void {
    const { levels } = this.codebook;
    const { cheapest } = this;
    const costs = this.costs[half];
    let least = Infinity;
    let best = 0;
    // The lowest level last: its places hold what is known.
    for (let level = levels.length - 1; level >= 0; level--) {
      const error = scale * levels[level] - size;
      const cost = weight * error * error;
      const at = level * known;
      for (let i = 0; i < known; i++) costs[at + i] = costs[i] + cost;
      if (cost >= least) continue;
      least = cost;
      best = level;
    }
    cheapest.halves[half] += best * known;
    cheapest.costs[half] += least;
  }

  private priceTurning(half: number, known: number, factor: number): void {
    const { levels } = this.codebook;
    const turning = this.turning[half];
    for (let level = levels.length - 1; level >= 0; level--) {
      const added = factor * levels[level];
      const at = level * known;
      for (let i = 0; i < known; i++) turning[at + i] = Math.min(turning[i], added);
    }
  }

  rankAsWished(): void {
    this.asWished.fill(this.costs, null, this.cheapest);
  }

  rankOneTurned(): void {
    this.oneTurned.fill(this.costs, this.turning, this.cheapest);
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
  fill(costs: Costs, turning: Costs | null, cheapest: Cheapest): void {
    const { prices } = this;
    const first = costs[0];
    const best = cheapest.halves[0];
    const least = cheapest.costs[1];
    const worst = prices.length - 1;
    for (let place = 0; place <= worst; place++) prices[place] = Infinity;
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
