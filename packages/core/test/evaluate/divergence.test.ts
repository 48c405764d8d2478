import { describe, expect, test } from 'vitest';
import {
  divergence,
  type Divergence,
  expNegative,
  type ReferenceDistribution,
  referenceDistribution,
} from '../../src/evaluate/divergence.js';
import { gaussian, randomFrom } from '../support/random.js';

/** The definitions, in float64, without the production code's tricks. */
function logSoftmax(logits: ArrayLike<number>): Float64Array {
  const values = Float64Array.from(logits);
  const largest = values.reduce((most, value) => Math.max(most, value), -Infinity);
  let sum = 0;
  for (const value of values) sum += Math.exp(value - largest);
  return values.map((value) => value - largest - Math.log(sum));
}

function exactKl(p: ArrayLike<number>, q: ArrayLike<number>): number {
  const logP = logSoftmax(p);
  const logQ = logSoftmax(q);
  let kl = 0;
  for (let i = 0; i < logP.length; i++) {
    const probability = Math.exp(logP[i]);
    if (probability > 0) kl += probability * (logP[i] - logQ[i]);
  }
  return kl;
}

function measured(
  p: Float32Array,
  q: Float32Array,
): { reference: ReferenceDistribution; divergence: Divergence } {
  const probabilities = new Float32Array(p.length);
  const reference = referenceDistribution(p, 0, p.length, probabilities, 0);
  return { reference, divergence: divergence(reference, probabilities, 0, q, 0, q.length) };
}

function randomLogits(random: () => number, length: number, scale: number): Float32Array {
  return Float32Array.from({ length }, () => scale * gaussian(random));
}

describe('expNegative', () => {
  test('is within 8e-9 of the exponential, relative, down to its cut', () => {
    let worst = 0;
    for (let i = 0; i <= 200_000; i++) {
      const x = -i / 4000;
      worst = Math.max(worst, Math.abs(expNegative(x) / Math.exp(x) - 1));
    }
    expect(worst).toBeLessThan(8e-9);
  });

  test('is exact at zero and zero below the cut', () => {
    expect(expNegative(0)).toBe(1);
    expect(expNegative(-50.000001)).toBe(0);
    expect(expNegative(-1e30)).toBe(0);
    expect(expNegative(-Infinity)).toBe(0);
  });

  test('never grows from one argument to a smaller one by more than its error', () => {
    for (let i = 0; i < 5000; i++) {
      const x = -i / 100;
      expect(expNegative(x - 0.001)).toBeLessThan(expNegative(x));
    }
  });
});

describe('divergence of random logits', () => {
  const cases = [
    { vocabulary: 2, scale: 0.01, noise: 1e-4 },
    { vocabulary: 7, scale: 1, noise: 0.1 },
    { vocabulary: 100, scale: 3, noise: 1 },
    { vocabulary: 4096, scale: 4, noise: 0.05 },
    { vocabulary: 4096, scale: 10, noise: 10 },
    { vocabulary: 32_000, scale: 0.5, noise: 0.02 },
    { vocabulary: 151_936, scale: 6, noise: 0.3 },
    { vocabulary: 500, scale: 60, noise: 5 },
  ];
  test.each(cases)('vocabulary $vocabulary, logits of $scale, noise of $noise', (settings) => {
    const random = randomFrom(settings.vocabulary + settings.scale);
    for (let round = 0; round < 5; round++) {
      const p = randomLogits(random, settings.vocabulary, settings.scale);
      const q = p.map((logit) => logit + settings.noise * gaussian(random));
      const { divergence: found, reference } = measured(p, q);
      const expected = exactKl(p, q);
      expect(Math.abs(found.klNats - expected)).toBeLessThan(3e-8 + 2e-7 * expected);
      expect(Math.abs(reference.mass - 1)).toBeLessThan(1e-6);
      const [logP, logQ] = [logSoftmax(p), logSoftmax(q)];
      for (let i = 0; i < p.length; i += 1 + Math.floor(p.length / 50)) {
        expect(Math.abs(p[i] - reference.logSumExp - logP[i])).toBeLessThan(2e-8);
        expect(Math.abs(q[i] - found.logSumExp - logQ[i])).toBeLessThan(2e-8);
      }
    }
  });

  test('a model against itself is zero', () => {
    const p = randomLogits(randomFrom(3), 4096, 5);
    expect(Math.abs(measured(p, p).divergence.klNats)).toBeLessThan(1e-10);
  });

  test('a constant added to all logits changes nothing', () => {
    const random = randomFrom(4);
    const p = randomLogits(random, 1000, 4);
    const q = randomLogits(random, 1000, 4);
    const shifted = q.map((logit) => logit + 512);
    expect(measured(p, shifted).divergence.klNats).toBeCloseTo(exactKl(p, shifted), 6);
    expect(measured(p, shifted).divergence.klNats).toBeCloseTo(measured(p, q).divergence.klNats, 3);
  });
});

describe('divergence of extreme logits', () => {
  test('a certain p against a q that is certain of something else is their distance', () => {
    const p = Float32Array.of(1000, 0, 0);
    const q = Float32Array.of(0, 1000, 0);
    expect(measured(p, q).divergence.klNats).toBeCloseTo(1000, 3);
    expect(exactKl(p, q)).toBeCloseTo(1000, 9);
  });

  test('all logits equal: uniform, and zero against itself', () => {
    const p = new Float32Array(5000).fill(-7.25);
    const { reference, divergence: found } = measured(p, p);
    expect(reference.negativeEntropy).toBeCloseTo(-Math.log(5000), 6);
    expect(found.klNats).toBeCloseTo(0, 9);
  });

  test('tokens far below the rest carry no mass and do no harm', () => {
    const random = randomFrom(9);
    const p = randomLogits(random, 300, 2).map((logit, i) => (i % 3 === 0 ? -1e30 : logit));
    const q = randomLogits(random, 300, 2).map((logit, i) => (i % 3 === 0 ? -1e30 : logit));
    expect(measured(p, q).divergence.klNats).toBeCloseTo(exactKl(p, q), 6);
  });

  test('NaN and infinities come out as not finite, never as a number', () => {
    const good = randomLogits(randomFrom(5), 64, 2);
    for (const bad of [Number.NaN, Infinity, -Infinity]) {
      for (const place of [0, 13, 63]) {
        const broken = good.slice();
        broken[place] = bad;
        expect(Number.isFinite(measured(good, broken).divergence.klNats)).toBe(false);
        if (bad !== -Infinity) expect(Number.isFinite(measured(broken, good).divergence.klNats)).toBe(false);
      }
    }
  });

  test('the most probable token is the first of equals, as llama-perplexity counts', () => {
    const { reference, divergence: found } = measured(
      Float32Array.of(1, 3, 3, 0),
      Float32Array.of(0, 2, 5, 5),
    );
    expect(reference.top).toBe(1);
    expect(found.top).toBe(2);
  });
});

test('offsets select one position of many', () => {
  const random = randomFrom(11);
  const vocabulary = 33;
  const p = randomLogits(random, 4 * vocabulary, 3);
  const q = randomLogits(random, 4 * vocabulary, 3);
  const kept = new Float32Array(2 * vocabulary);
  const reference = referenceDistribution(p, 2 * vocabulary, vocabulary, kept, vocabulary);
  const found = divergence(reference, kept, vocabulary, q, 3 * vocabulary, vocabulary);
  const row = (values: Float32Array, k: number) => values.slice(k * vocabulary, (k + 1) * vocabulary);
  expect(found.klNats).toBeCloseTo(exactKl(row(p, 2), row(q, 3)), 6);
  expect(kept.subarray(0, vocabulary).every((value) => value === 0)).toBe(true);
});
