import path from 'node:path';
import { loadEngine } from '@bitsmith/ggml';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { priceOfErrors, tensorFisher, type WeighedRow } from '../../src/measure/gradients/fisher.js';
import { sampleRows } from '../../src/measure/errors/sample-rows.js';
import type { SquaredGradient } from '../../src/transformer/squared-gradient.js';
import { spreadOrder } from '../../src/text/spread-order.js';
import { gaussian, randomFrom } from '../support/random.js';
import { temporaryFolder } from '../support/temporary.js';
import { openPass } from '../support/tiny-pass.js';
import {
  type TinyFamily,
  tinyFamilies,
  tinyTokens,
  WeightEditor,
  writeTinyTransformer,
} from '../support/tiny-transformer.js';

type Squares = Pick<SquaredGradient, 'rows' | 'columns'>;

/** Row and column sums of the squares of random gradients, and the squares themselves. */
function randomSquares(
  rows: number,
  columns: number,
  random: () => number,
): Squares & { squares: Float64Array } {
  const squares = Float64Array.from(
    { length: rows * columns },
    () => gaussian(random) ** 2 * Math.exp(2 * random()),
  );
  const sums = { rows: new Float32Array(rows), columns: new Float32Array(columns) };
  squares.forEach((square, place) => {
    sums.rows[Math.floor(place / columns)] += square;
    sums.columns[place % columns] += square;
  });
  return { ...sums, squares };
}

const all = (rows: Float64Array): WeighedRow[] => Array.from(rows, (hits, row) => ({ row, hits }));

/** sum_j c_j dW_ij^2 of each row. */
function rowErrors(change: Float64Array, columnShares: Float32Array): Float64Array {
  const columns = columnShares.length;
  return Float64Array.from({ length: change.length / columns }, (_, row) =>
    columnShares.reduce((sum, share, column) => sum + share * change[row * columns + column] ** 2, 0),
  );
}

describe('the price of errors', () => {
  const shape = fc.tuple(
    fc.integer({ min: 1, max: 9 }),
    fc.integer({ min: 1, max: 9 }),
    fc.integer({ min: 0, max: 999 }),
  );

  test('with all rows there, is 1/(2T) sum_ij of rank-one squares and squared changes', () => {
    fc.assert(
      fc.property(shape, fc.integer({ min: 1, max: 5 }), ([rows, columns, seed], count) => {
        const random = randomFrom(seed);
        const sequences = Array.from({ length: count }, () => randomSquares(rows, columns, random));
        const fisher = tensorFisher(sequences);
        const change = Float64Array.from({ length: rows * columns }, () => gaussian(random));
        const labels = 7;
        const { klNats } = priceOfErrors(
          fisher,
          all(fisher.rows),
          { errors: rowErrors(change, fisher.columnShares) },
          labels,
        );
        const mean = (of: (one: Squares) => Float32Array, place: number): number =>
          sequences.reduce((sum, one) => sum + of(one)[place], 0) / count;
        const total = sequences[0].rows.reduce((sum, _, row) => sum + mean((one) => one.rows, row), 0);
        let expected = 0;
        for (let i = 0; i < rows; i++)
          for (let j = 0; j < columns; j++) {
            const square = (mean((one) => one.rows, i) * mean((one) => one.columns, j)) / total;
            expected += (square * change[i * columns + j] ** 2) / (2 * labels);
          }
        expect(klNats / expected).toBeCloseTo(1, 5);
      }),
    );
  });

  test('is exact where squares are of rank one, or where changes are equally large everywhere', () => {
    const random = randomFrom(3);
    const [r, c] = [Float32Array.from({ length: 6 }, random), Float32Array.from({ length: 5 }, random)];
    const [rowSum, columnSum] = [r, c].map((values) => values.reduce((a, b) => a + b, 0));
    const fisher = tensorFisher([
      { rows: r.map((value) => value * columnSum), columns: c.map((value) => value * rowSum) },
    ]);
    const change = Float64Array.from({ length: 30 }, () => gaussian(random));
    const { klNats } = priceOfErrors(
      fisher,
      all(fisher.rows),
      { errors: rowErrors(change, fisher.columnShares) },
      4,
    );
    const exact =
      change.reduce((sum, d, place) => sum + r[Math.floor(place / 5)] * c[place % 5] * d * d, 0) / 8;
    expect(klNats / exact).toBeCloseTo(1, 5);

    const squares = randomSquares(6, 5, random);
    const even = tensorFisher([squares]);
    const flat = rowErrors(new Float64Array(30).fill(0.3), even.columnShares);
    const sum = squares.squares.reduce((a, b) => a + b, 0);
    expect(priceOfErrors(even, all(even.rows), { errors: flat }, 4).klNats / ((sum * 0.09) / 8)).toBeCloseTo(
      1,
      5,
    );
  });

  test('from sampled rows, has no bias over samplings', () => {
    const random = randomFrom(8);
    const rows = 60;
    const squares = randomSquares(rows, 3, random);
    const errors = Float64Array.from({ length: rows }, () => random() ** 2);
    const fisher = tensorFisher([squares]);
    const exact = priceOfErrors(fisher, all(fisher.rows), { errors }, 5).klNats;
    const prices = Array.from({ length: 3000 }, () => {
      const order = Array.from({ length: rows }, (_, row) => row)
        .map((row) => ({ row, key: random() }))
        .toSorted((a, b) => a.key - b.key)
        .map(({ row }) => row);
      const sample = sampleRows(
        rows,
        12,
        Float64Array.from(order, (row) => fisher.rows[row]),
      ).map(({ row, hits }) => ({ row: order[row], hits }));
      return priceOfErrors(fisher, sample, { errors: sample.map(({ row }) => errors[row]) }, 5).klNats;
    });
    const mean = prices.reduce((a, b) => a + b, 0) / prices.length;
    const spread = Math.sqrt(prices.reduce((sum, price) => sum + (price - mean) ** 2, 0) / prices.length);
    expect(spread / exact).toBeGreaterThan(0.02);
    expect(Math.abs(mean / exact - 1)).toBeLessThan(0.01);
  });

  test('is nothing for gradients of nothing, sampled or not', () => {
    const fisher = tensorFisher([{ rows: new Float32Array(40), columns: new Float32Array(6) }]);
    const errors = new Float64Array(40).fill(1);
    for (const sample of [all(fisher.rows), sampleRows(40, 8, fisher.rows)])
      expect(priceOfErrors(fisher, sample, { errors }, 3)).toEqual({ klNats: 0, standardError: 0 });
  });

  test('takes what rounding leaves below zero for zero', () => {
    const fisher = tensorFisher([
      { rows: Float32Array.of(1, -1e-9), columns: Float32Array.of(-1e-9, 0.5, 0.5) },
    ]);
    expect([...fisher.rows]).toEqual([1, 0]);
    expect([...fisher.columnShares]).toEqual([0, 0.5, 0.5]);
    const { klNats, standardError } = priceOfErrors(
      fisher,
      [
        { row: 0, hits: 2 },
        { row: 1, hits: 1 },
      ],
      { errors: [1, 1] },
      1,
    );
    expect(klNats).toBe(0.5);
    expect(standardError).toBe(0);
  });

  test('prices what goes along the weights by the derivative along them', () => {
    const random = randomFrom(5);
    const [rows, columns, labels] = [7, 6, 3];
    const squares = [1, 2].map(() => randomSquares(rows, columns, random));
    const growth = [2.5, -1.5];
    const fisher = tensorFisher(
      squares.map((one, index) => ({ ...one, growth: Float32Array.of(growth[index]) })),
    );
    const sums = (a: Float64Array, b: Float64Array): Float64Array =>
      Float64Array.from({ length: rows }, (_, row) =>
        fisher.columnShares.reduce((sum, share, column) => {
          const place = row * columns + column;
          return sum + share * a[place] * b[place];
        }, 0),
      );
    const weights = Float64Array.from({ length: rows * columns }, () => gaussian(random));
    const priceOf = (change: Float64Array): number =>
      priceOfErrors(
        fisher,
        all(fisher.rows),
        {
          errors: sums(change, change),
          along: { sizes: sums(weights, weights), products: sums(weights, change) },
        },
        labels,
      ).klNats;
    // All along: the derivative's square alone.
    const shrunk = weights.map((weight) => -0.1 * weight);
    const together = (0.01 * (2.5 ** 2 + 1.5 ** 2)) / 2 / (2 * labels);
    expect(priceOf(shrunk) / together).toBeCloseTo(1, 5);
    // Across: weight by weight, as without growth.
    const other = Float64Array.from({ length: rows * columns }, () => gaussian(random));
    const weighed = (a: Float64Array, b: Float64Array): number =>
      sums(a, b).reduce((sum, value, row) => sum + fisher.rows[row] * value, 0);
    const part = weighed(weights, other) / weighed(weights, weights);
    const across = other.map((value, place) => value - part * weights[place]);
    const plain = priceOfErrors(fisher, all(fisher.rows), { errors: sums(across, across) }, labels).klNats;
    expect(priceOf(across) / plain).toBeCloseTo(1, 5);
    // Both at once add up.
    const both = across.map((value, place) => value + shrunk[place]);
    expect(priceOf(both) / (plain + together)).toBeCloseTo(1, 5);
  });

  test('carries the standard error of its mean over sequences', () => {
    const random = randomFrom(1);
    const sequences = Array.from({ length: 6 }, () => randomSquares(4, 3, random));
    const fisher = tensorFisher(sequences);
    const errors = Float64Array.of(1, 0.5, 2, 0.1);
    const alone = sequences.map(
      ({ rows }) => rows.reduce((sum, value, row) => sum + value * errors[row], 0) / 10,
    );
    const mean = alone.reduce((a, b) => a + b, 0) / 6;
    const variance = alone.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 5;
    const { klNats, standardError } = priceOfErrors(fisher, all(fisher.rows), { errors }, 5);
    expect(klNats).toBeCloseTo(mean, 6);
    expect(standardError).toBeCloseTo(Math.sqrt(variance / 6), 6);
  });
});

describe('squared gradients of drawn labels are nats', () => {
  const names: readonly TinyFamily[] = ['llama', 'gemma3 with bent logits and a pattern of two'];
  test.each(names)(
    '%s: half their mean, times the variance of a noise, is the true KL of the noise',
    async (name) => {
      const engine = loadEngine({ threads: 2 });
      const file = path.join(await temporaryFolder(), 'model.gguf');
      const shape = { ...tinyFamilies[name], width: 16, feedForward: 24 };
      await writeTinyTransformer(file, shape);
      const positions = 24;
      const sequence = { index: 0, tokens: tinyTokens(positions, shape.vocabulary, 2) };
      const tensors = [
        'blk.1.attn_q.weight',
        'blk.1.attn_v.weight',
        'blk.0.ffn_down.weight',
        'token_embd.weight',
      ];

      const totals = new Map(tensors.map((tensor) => [tensor, 0]));
      const draws = 200;
      await using opened = await openPass(engine, file, { positions, lanes: 2 });
      const many = Array.from({ length: draws }, (_, index) => ({ ...sequence, index }));
      for (const { squared } of await opened.pass.run(many))
        for (const [tensor, sum] of totals)
          totals.set(tensor, sum + (squared.get(tensor)?.rows.reduce((a, b) => a + b, 0) ?? NaN) / draws);

      const before = await opened.pass.logits(sequence);
      const editor = new WeightEditor(file);
      const random = randomFrom(4);
      for (const tensor of tensors) {
        const spread = tensor === 'token_embd.weight' ? 0.004 : 0.02;
        let kl = 0;
        const noises = 40;
        for (let k = 0; k < noises; k++) {
          await editor.noising(
            tensor,
            () => spread * gaussian(random),
            async () => {
              await using changed = await openPass(engine, file, { positions });
              kl += meanDivergence(before, await changed.pass.logits(sequence), shape.vocabulary) / noises;
            },
          );
        }
        const predicted = ((totals.get(tensor) as number) * spread ** 2) / (2 * positions);
        expect(Math.abs(predicted / kl - 1)).toBeLessThan(0.15);
      }
    },
  );
});

function meanDivergence(before: Float32Array, after: Float32Array, vocabulary: number): number {
  const logShares = (logits: Float32Array): Float64Array => {
    const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0);
    return Float64Array.from(logits, (logit) => logit - most - Math.log(total));
  };
  let sum = 0;
  for (let start = 0; start < before.length; start += vocabulary) {
    const [p, q] = [before, after].map((logits) => logShares(logits.subarray(start, start + vocabulary)));
    p.forEach((log, i) => (sum += Math.exp(log) * (log - q[i])));
  }
  return (sum * vocabulary) / before.length;
}

describe('the order of chunks', () => {
  test('is a permutation, of which any start is spread over the whole', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 700 }), (count) => {
        const order = spreadOrder(count);
        expect(order.toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, index) => index));
        for (let first = 2; first <= count; first *= 2) {
          const chosen = order.slice(0, first).toSorted((a, b) => a - b);
          const gaps = chosen.slice(1).map((place, index) => place - chosen[index]);
          // An even spread would leave gaps of count / first.
          expect(Math.max(chosen[0], count - 1 - (chosen.at(-1) as number), ...gaps)).toBeLessThanOrEqual(
            Math.ceil((4 * count) / first),
          );
        }
      }),
      { numRuns: 60 },
    );
  });

  test('more samples contain the fewer: the order does not depend on how many are taken', () => {
    expect(spreadOrder(8)).toEqual([0, 4, 2, 6, 1, 5, 3, 7]);
    expect(spreadOrder(6)).toEqual([0, 4, 2, 1, 5, 3]);
    expect(spreadOrder(1)).toEqual([0]);
  });
});
