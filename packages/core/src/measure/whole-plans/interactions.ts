/**
 * @file Do tensors interact? Prices are sums over tensors; what two changes do together beyond that is E[z_k z_l] / T with
 * z = <G, dW> of a sequence. Whether such a term is there is tested, not assumed: against its own noise over sequences (robust
 * to heavy tails, Bonferroni over all pairs), and in both halves of the sequences. Only pairs that pass all three count.
 */

/** What two tensors' changes do together. */
export interface Interaction {
  readonly tensors: readonly [string, string];
  /** E[z_k z_l] / sqrt(E[z_k^2] E[z_l^2]) */
  readonly correlation: number;
  /** Its size in standard errors. */
  readonly deviations: number;
}

export interface InteractionAudit {
  readonly sequences: number;
  readonly pairs: number;
  /** Root mean square of all correlations, and what chance alone gives. */
  readonly correlation: number;
  readonly noiseFloor: number;
  /** Correlation, over pairs, of what the two halves of the sequences say: 0 where it is all chance. */
  readonly reproducibility: number;
  /** Standard errors that a pair must be away from nothing. */
  readonly threshold: number;
  /** Pairs beyond chance, strongest first. */
  readonly found: readonly Interaction[];
}

/** One chance in twenty that any pair passes where none interacts. */
const FALSE_ALARM = 0.05;
/** In each half by itself. */
const HALF_DEVIATIONS = 2;

/**
 * Tests all pairs of tensors.
 * @param products one a sequence: <G, dW> by tensor
 */
export function auditInteractions(
  tensors: readonly string[],
  products: readonly Readonly<Record<string, number>>[],
): InteractionAudit {
  const columns = tensors.map((tensor) => products.map((sequence) => sequence[tensor] ?? 0));
  const halves = [0, 1].map((half) =>
    columns.map((column) => column.filter((_, index) => index % 2 === half)),
  );
  const pairs = tensors.flatMap((_, k) => tensors.slice(k + 1).map((_other, offset) => [k, k + 1 + offset]));
  const threshold = normalQuantile(1 - FALSE_ALARM / (2 * Math.max(1, pairs.length)));
  const whole = pairs.map(([k, l]) => compare(columns[k], columns[l]));
  const parts = halves.map((half) => pairs.map(([k, l]) => compare(half[k], half[l])));
  const found = pairs
    .map(([k, l], index): Interaction => ({
      tensors: [tensors[k], tensors[l]],
      correlation: whole[index].correlation,
      deviations: whole[index].deviations,
    }))
    .filter(({ deviations }, index) => {
      const [first, second] = parts.map((part) => part[index].deviations);
      const alike = Math.sign(first) === Math.sign(second);
      const clear = Math.min(Math.abs(first), Math.abs(second)) > HALF_DEVIATIONS;
      return Math.abs(deviations) > threshold && alike && clear;
    })
    .sort((a, b) => Math.abs(b.deviations) - Math.abs(a.deviations));
  return {
    sequences: products.length,
    pairs: pairs.length,
    correlation: Math.sqrt(mean(whole.map(({ correlation }) => correlation ** 2))),
    noiseFloor: Math.sqrt(mean(whole.map(({ chance }) => chance ** 2))),
    reproducibility: pearson(
      parts[0].map(({ correlation }) => correlation),
      parts[1].map(({ correlation }) => correlation),
    ),
    threshold,
    found,
  };
}

/** What the interactions that passed add to a sum of prices: 2 c sqrt(p_k p_l) each. */
export function interactionNats(audit: InteractionAudit, priceOf: (tensor: string) => number): number {
  return audit.found.reduce(
    (sum, { tensors: [k, l], correlation }) => sum + 2 * correlation * Math.sqrt(priceOf(k) * priceOf(l)),
    0,
  );
}

interface Comparison {
  readonly correlation: number;
  readonly deviations: number;
  /** Standard deviation of the correlation of two that have nothing to do with each other. */
  readonly chance: number;
}

function compare(a: readonly number[], b: readonly number[]): Comparison {
  let aa = 0;
  let bb = 0;
  let ab = 0;
  let aabb = 0;
  a.forEach((x, index) => {
    const y = b[index];
    aa += x * x;
    bb += y * y;
    ab += x * y;
    aabb += x * x * y * y;
  });
  const scale = Math.sqrt(aa * bb);
  if (!(scale > 0 && aabb > 0)) return { correlation: 0, deviations: 0, chance: 0 };
  return { correlation: ab / scale, deviations: ab / Math.sqrt(aabb), chance: Math.sqrt(aabb) / scale };
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

function pearson(a: readonly number[], b: readonly number[]): number {
  const [ma, mb] = [mean(a), mean(b)];
  const { correlation } = compare(
    a.map((value) => value - ma),
    b.map((value) => value - mb),
  );
  return correlation;
}

/** The standard normal's quantile above 1/2, by bisection of its tail (Abramowitz and Stegun 7.1.26). */
function normalQuantile(probability: number): number {
  let low = 0;
  let high = 10;
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (normalTail(middle) > 1 - probability) low = middle;
    else high = middle;
  }
  return low;
}

function normalTail(x: number): number {
  const t = 1 / (1 + (0.3275911 * x) / Math.SQRT2);
  const poly =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return (poly * Math.exp((-x * x) / 2)) / 2;
}
