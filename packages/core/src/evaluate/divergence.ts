/**
 * @file Kullback-Leibler divergence of two next-token distributions, from logits.
 *
 * With p stored once per position, KL(p || q) = sum p ln p - sum p z_q + ln(sum exp z_q) needs one exponential a token for
 * every further model q. Sums are in float64; p is rounded to float32, and its own mass enters the formula so that the
 * rounding cancels.
 */

/** p at one position, ready to be compared with any q. */
export interface ReferenceDistribution {
  /** Sum of the stored probabilities: 1 up to float32 rounding. */
  readonly mass: number;
  /** sum p ln p over the stored probabilities. */
  readonly negativeEntropy: number;
  /** Most probable token; the first of equals. */
  readonly top: number;
  /** ln of the normaliser: logit - logSumExp = ln p. */
  readonly logSumExp: number;
}

const LOG2_E = Math.LOG2E;
const LN_2 = Math.LN2;
/** 2^-k: probabilities below e^-50 of the largest are zero to float32. */
const halves = Float64Array.from({ length: 80 }, (_, k) => 2 ** -k);
const SMALLEST_EXPONENT = -50;

/** e^x for x <= 0 to a relative error of 6e-9, several times faster than Math.exp and the same on every machine. */
export function expNegative(x: number): number {
  if (x < SMALLEST_EXPONENT) return 0;
  const k = (0.5 - x * LOG2_E) | 0;
  const r = x + k * LN_2;
  const series =
    1 +
    r *
      (1 +
        r *
          (0.5 +
            r *
              (0.16666666666666666 +
                r *
                  (0.041666666666666664 +
                    r * (0.008333333333333333 + r * (0.001388888888888889 + r * 0.0001984126984126984))))));
  return series * halves[k];
}

/** Largest of `vocabulary` logits from `offset`, and where; the first of equals. */
function largest(logits: Float32Array, offset: number, vocabulary: number): { value: number; index: number } {
  let value = logits[offset];
  let index = 0;
  for (let i = 1; i < vocabulary; i++) {
    const logit = logits[offset + i];
    if (logit > value) {
      value = logit;
      index = i;
    }
  }
  return { value, index };
}

function logSumExp(logits: Float32Array, offset: number, vocabulary: number, maximum: number): number {
  let sum = 0;
  for (let i = 0; i < vocabulary; i++) sum += expNegative(logits[offset + i] - maximum);
  return maximum + Math.log(sum);
}

/** Softmax of the logits at `offset` into `probabilities` at `target`. */
export function referenceDistribution(
  logits: Float32Array,
  offset: number,
  vocabulary: number,
  probabilities: Float32Array,
  target: number,
): ReferenceDistribution {
  const top = largest(logits, offset, vocabulary);
  let sum = 0;
  for (let i = 0; i < vocabulary; i++) {
    const e = expNegative(logits[offset + i] - top.value);
    probabilities[target + i] = e;
    sum += e;
  }
  const normaliser = top.value + Math.log(sum);
  const scale = 1 / sum;
  let mass = 0;
  let negativeEntropy = 0;
  for (let i = 0; i < vocabulary; i++) {
    const p = Math.fround(probabilities[target + i] * scale);
    probabilities[target + i] = p;
    mass += p;
    negativeEntropy += p * (logits[offset + i] - normaliser);
  }
  return { mass, negativeEntropy, top: top.index, logSumExp: normaliser };
}

/** q against a stored p at one position. */
export interface Divergence {
  /** KL(p || q) in nats. */
  readonly klNats: number;
  readonly top: number;
  readonly logSumExp: number;
}

/** KL(p || q) with q given as logits. */
export function divergence(
  reference: ReferenceDistribution,
  probabilities: Float32Array,
  target: number,
  logits: Float32Array,
  offset: number,
  vocabulary: number,
): Divergence {
  const top = largest(logits, offset, vocabulary);
  const normaliser = logSumExp(logits, offset, vocabulary, top.value);
  let cross = 0;
  for (let i = 0; i < vocabulary; i++) cross += probabilities[target + i] * logits[offset + i];
  const klNats = reference.negativeEntropy - cross + reference.mass * normaliser;
  return { klNats, top: top.index, logSumExp: normaliser };
}
