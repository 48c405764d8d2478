import { ComputeGraph, loadEngine } from '@bitsmith/ggml';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { emptySquaredGradient, storeSquaredGradient } from '../../src/transformer/squared-gradient.js';
import { drawLabels } from '../../src/transformer/random-labels.js';
import { gaussian, randomFrom } from '../support/random.js';

const engine = loadEngine({ threads: 1 });

describe('row and column sums of the squares of dY X', () => {
  // Few positions against the matrix: by Gram matrices of the positions. Many: by the product itself.
  const shapes = fc.record({
    positions: fc.integer({ min: 1, max: 40 }),
    inputs: fc.integer({ min: 1, max: 90 }),
    outputs: fc.integer({ min: 1, max: 90 }),
    seed: fc.integer({ min: 0, max: 9999 }),
  });
  const both = { grams: 0, product: 0 };

  test('by either way, as plain sums', async () => {
    await fc.assert(
      fc.asyncProperty(shapes, async ({ positions, inputs, outputs, seed }) => {
        both[2 * positions * (inputs + outputs) < inputs * outputs ? 'grams' : 'product']++;
        const random = randomFrom(seed);
        const [x, dy] = [inputs, outputs].map((length) =>
          Float32Array.from({ length: length * positions }, () => gaussian(random)),
        );
        const found = emptySquaredGradient(inputs, outputs);
        const graph = new ComputeGraph(engine, 64);
        const leaves = {
          input: graph.leaf(x, inputs, positions),
          outputGradient: graph.leaf(dy, outputs, positions),
        };
        storeSquaredGradient(graph, leaves, found);
        await graph.compute();
        graph.dispose();
        const [rows, columns, energy] = [
          new Float64Array(outputs),
          new Float64Array(inputs),
          new Float64Array(outputs),
        ];
        for (let i = 0; i < outputs; i++) {
          for (let t = 0; t < positions; t++) energy[i] += dy[t * outputs + i] ** 2;
          for (let j = 0; j < inputs; j++) {
            let gradient = 0;
            for (let t = 0; t < positions; t++) gradient += dy[t * outputs + i] * x[t * inputs + j];
            rows[i] += gradient ** 2;
            columns[j] += gradient ** 2;
          }
        }
        for (const [values, expected] of [
          [found.rows, rows],
          [found.columns, columns],
          [found.energy, energy],
        ] as const) {
          const largest = Math.max(...expected);
          values.forEach((value, place) =>
            expect(Math.abs(value - expected[place])).toBeLessThan(1e-5 * largest),
          );
        }
      }),
      { numRuns: 60, seed: 4 },
    );
    expect(both.grams).toBeGreaterThan(5);
    expect(both.product).toBeGreaterThan(5);
  });
});

describe('labels', () => {
  const vocabulary = 5;
  const logits = [0.3, -1, 2, 0.5, -3];
  const shares = ((): number[] => {
    const powers = logits.map(Math.exp);
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => power / sum);
  })();

  test('come as often as the model predicts them, whatever the seed', () => {
    const positions = 400;
    const counts = [0, 0, 0, 0, 0];
    for (let sequence = 0; sequence < 100; sequence++) {
      const rows = Float32Array.from(
        { length: positions * vocabulary },
        (_, place) => logits[place % vocabulary],
      );
      const { labels } = drawLabels(rows, {
        seed: 7,
        sequence,
        vocabulary,
        firstScored: 0,
        logitLimit: null,
      });
      for (const label of labels) counts[label]++;
    }
    const draws = 100 * positions;
    const distance = counts.reduce(
      (sum, count, i) => sum + (count - draws * shares[i]) ** 2 / (draws * shares[i]),
      0,
    );
    // Chi squared with four degrees of freedom: above 18.5 once in a thousand.
    expect(distance).toBeLessThan(18.5);
  });

  test('leave the gradient of their log-probability in place of the logits', () => {
    const rows = Float32Array.from([...logits, ...logits]);
    const { labels, notFinite } = drawLabels(rows, {
      seed: 1,
      sequence: 0,
      vocabulary,
      firstScored: 1,
      logitLimit: null,
    });
    expect(notFinite).toBeNull();
    expect(labels[0]).toBe(-1);
    expect([...rows.subarray(0, vocabulary)]).toEqual([0, 0, 0, 0, 0]);
    shares.forEach((share, i) =>
      expect(rows[vocabulary + i]).toBeCloseTo(Number(i === labels[1]) - share, 6),
    );
  });

  test.each([NaN, Infinity])('need finite logits: %f is told by its position', (bad) => {
    const rows = Float32Array.from([...logits, ...logits, ...logits]);
    rows[2 * vocabulary + 1] = bad;
    const { notFinite } = drawLabels(rows, {
      seed: 1,
      sequence: 0,
      vocabulary,
      firstScored: 0,
      logitLimit: null,
    });
    expect(notFinite).toBe(2);
  });
});
