/**
 * @file Points and signs for eight weights, given their scale, what they should be, and a metric of eight by eight for what they get
 * wrong. Points are first ranked by the metric's diagonal, by which a point's cost is that of its two halves; the best few are
 * then priced exactly, with the one sign turned that gains most, or that makes the number of negative weights even.
 */
import type { Codebook } from './codebook.js';

const EIGHT = 8;

/** The best few points of a list, by what they cost. */
class Shortlist {
  readonly points: Uint16Array;
  private readonly costs: Float64Array;

  constructor(length: number) {
    this.points = new Uint16Array(length);
    this.costs = new Float64Array(length);
  }

  /** @param costOf two tables of what halves cost, and what is added where the number of signs has to change: the less of two */
  fill(
    { first, second, size }: Codebook,
    plain: readonly [Float64Array, Float64Array],
    turned: readonly [Float64Array, Float64Array] | null,
  ): void {
    const { points, costs } = this;
    const last = points.length - 1;
    costs.fill(Infinity);
    const [a, b] = plain;
    let worst = Infinity;
    for (let point = 0; point < size; point++) {
      const [i, j] = [first[point], second[point]];
      let cost = a[i] + b[j];
      if (turned !== null) {
        if (cost >= worst) continue;
        const [p, q] = [turned[0][i], turned[1][j]];
        cost += p < q ? p : q;
      }
      if (cost >= worst) continue;
      let place = last;
      for (; place > 0 && costs[place - 1] > cost; place--) {
        costs[place] = costs[place - 1];
        points[place] = points[place - 1];
      }
      costs[place] = cost;
      points[place] = point;
      worst = costs[last];
    }
  }
}

export class EightSearch {
  /** What was found: a point or two, bit k set for a negative weight k, and the weights. */
  readonly points: Uint16Array;
  signs = 0;
  readonly values = new Float64Array(EIGHT);

  private readonly codebook: Codebook;
  private readonly even: boolean;
  private readonly plain: readonly Float64Array[];
  private readonly turned: readonly Float64Array[];
  private readonly lists: readonly (readonly [Shortlist, Shortlist])[];
  private readonly trial = new Float64Array(EIGHT);
  private readonly errors = new Float64Array(EIGHT);
  private readonly slopes = new Float64Array(EIGHT);
  private best = Infinity;

  /** @param even whether an even number of the eight has to be negative */
  constructor(codebook: Codebook, even: boolean, tried: number) {
    const parts = EIGHT / codebook.dimensions;
    this.codebook = codebook;
    this.even = even;
    this.points = new Uint16Array(parts);
    this.plain = Array.from({ length: 2 * parts }, () => new Float64Array(codebook.halves));
    this.turned = Array.from({ length: 2 * parts }, () => new Float64Array(codebook.halves));
    const length = parts === 1 ? tried : Math.ceil(tried / 2);
    this.lists = Array.from({ length: parts }, () => [new Shortlist(length), new Shortlist(length)]);
  }

  /**
   * @param wish what the weights should be
   * @param metrics the metric's 64 entries stand at `at`
   * @param scale of the unit of points; positive
   * @returns what the weights found cost
   */
  find(wish: Float64Array, metrics: Float64Array, at: number, scale: number): number {
    let natural = 0;
    for (let k = 0; k < EIGHT; k++) if (wish[k] < 0) natural |= 1 << k;
    const turn = this.even && isOdd(natural);
    this.price(wish, metrics, at, scale, turn);
    this.rank(turn);
    this.best = Infinity;
    const [[first, firstTurned], second] = this.lists;
    if (second === undefined) {
      for (const point of (turn ? firstTurned : first).points)
        this.tryPoints(point, 0, natural, turn, wish, metrics, at, scale);
      return this.best;
    }
    if (!turn) this.tryPairs(first, second[0], natural, turn, wish, metrics, at, scale);
    else {
      this.tryPairs(firstTurned, second[0], natural, turn, wish, metrics, at, scale);
      this.tryPairs(first, second[1], natural, turn, wish, metrics, at, scale);
    }
    return this.best;
  }

  /** What halves cost by the diagonal, with the signs of the wish, and what turning one more sign adds. */
  private price(wish: Float64Array, metrics: Float64Array, at: number, scale: number, turn: boolean): void {
    const { levels, dimensions } = this.codebook;
    const [count, length] = [levels.length, dimensions / 2];
    for (let half = 0; half < this.plain.length; half++) {
      const [plain, turned] = [this.plain[half], this.turned[half]];
      plain[0] = 0;
      turned[0] = Infinity;
      for (let axis = 0, known = 1; axis < length; axis++, known *= count) {
        const k = half * length + axis;
        const weight = metrics[at + 9 * k];
        const size = Math.abs(wish[k]);
        for (let level = count - 1; level >= 0; level--) {
          const value = scale * levels[level];
          const cost = weight * (value - size) * (value - size);
          for (let i = 0; i < known; i++) plain[level * known + i] = plain[i] + cost;
          if (!turn) continue;
          const added = 4 * weight * value * size;
          for (let i = 0; i < known; i++) turned[level * known + i] = turned[i] < added ? turned[i] : added;
        }
      }
    }
  }

  private rank(turn: boolean): void {
    const { lists, plain, turned, codebook } = this;
    const pairs = lists.length > 1;
    for (let part = 0; part < lists.length; part++) {
      const own = [plain[2 * part], plain[2 * part + 1]] as const;
      if (!turn || pairs) lists[part][0].fill(codebook, own, null);
      if (turn) lists[part][1].fill(codebook, own, [turned[2 * part], turned[2 * part + 1]]);
    }
  }

  private tryPairs(
    first: Shortlist,
    second: Shortlist,
    natural: number,
    turn: boolean,
    wish: Float64Array,
    metrics: Float64Array,
    at: number,
    scale: number,
  ): void {
    for (const a of first.points)
      for (const b of second.points) this.tryPoints(a, b, natural, turn, wish, metrics, at, scale);
  }

  /** Prices points exactly, and keeps them where they are the best. */
  private tryPoints(
    first: number,
    second: number,
    natural: number,
    turn: boolean,
    wish: Float64Array,
    metrics: Float64Array,
    at: number,
    scale: number,
  ): void {
    const { codebook, trial, errors, slopes, even } = this;
    const { dimensions, values } = codebook;
    for (let k = 0; k < EIGHT; k++) {
      const value =
        scale *
        (k < dimensions ? values[first * dimensions + k] : values[second * dimensions + k - dimensions]);
      trial[k] = (natural >> k) & 1 ? -value : value;
      errors[k] = trial[k] - wish[k];
    }
    let cost = 0;
    for (let k = 0; k < EIGHT; k++) {
      let slope = 0;
      for (let i = 0, row = at + EIGHT * k; i < EIGHT; i++) slope += metrics[row + i] * errors[i];
      slopes[k] = slope;
      cost += slope * errors[k];
    }
    let turned = -1;
    if (turn || !even) {
      let least = turn ? Infinity : 0;
      for (let k = 0; k < EIGHT; k++) {
        const added = 4 * trial[k] * (metrics[at + 9 * k] * trial[k] - slopes[k]);
        if (added < least) [least, turned] = [added, k];
      }
      if (turned >= 0) cost += least;
    }
    if (cost >= this.best) return;
    this.best = cost;
    this.points[0] = first;
    if (this.points.length > 1) this.points[1] = second;
    this.signs = turned < 0 ? natural : natural ^ (1 << turned);
    this.values.set(trial);
    if (turned >= 0) this.values[turned] = -trial[turned];
  }
}

function isOdd(bits: number): boolean {
  let odd = bits ^ (bits >> 4);
  odd ^= odd >> 2;
  odd ^= odd >> 1;
  return (odd & 1) === 1;
}
