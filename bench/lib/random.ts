/** @file Seeded numbers for generated models: random words, and the quantiles of the normal distribution. */

/** mulberry32: 32 random bits a call, the same on every machine. */
export function randomWords(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return (word ^ (word >>> 14)) >>> 0;
  };
}

/** `count` equally likely values of the standard normal distribution, in order. Drawing one by index draws a normal. */
export function normalQuantiles(count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, index) => inverseNormal((index + 0.5) / count));
}

/** P. J. Acklam's rational approximation of the inverse normal distribution function; relative error below 1.2e-9. */
function inverseNormal(probability: number): number {
  if (probability > 0.5) return -inverseNormal(1 - probability);
  if (probability < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(probability));
    return polynomial(tailNumerator, q) / (polynomial(tailDenominator, q) * q + 1);
  }
  const q = probability - 0.5;
  const r = q * q;
  return (polynomial(centreNumerator, r) * q) / (polynomial(centreDenominator, r) * r + 1);
}

const centreNumerator = [
  -39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716,
  2.506628277459239,
];
const centreDenominator = [
  -54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572,
];
const tailNumerator = [
  -0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968,
  2.938163982698783,
];
const tailDenominator = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416];

/** Horner's scheme, highest power first. */
function polynomial(coefficients: readonly number[], x: number): number {
  return coefficients.reduce((sum, coefficient) => sum * x + coefficient, 0);
}
