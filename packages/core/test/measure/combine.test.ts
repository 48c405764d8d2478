import { describe, expect, test } from 'vitest';
import { combine, methodWeights, referenceScores, sharesOf } from '../../src/measure/methods/combine.js';
import type { MethodChoice, ScoreSet } from '../../src/measure/methods/method.js';
import type { Method, Score } from '../../src/measure/methods/score.js';

const asked = (...methods: readonly (Method | [Method, number])[]): MethodChoice[] =>
  methods.map((each) =>
    typeof each === 'string' ? { method: each, weight: null } : { method: each[0], weight: each[1] },
  );

function score(method: Method, tensor: string, value: number, scheme: string | null = 'Q3_K'): Score {
  return { tensor, scheme, method, value, unit: 'nats/token', standardError: null, evidence: 'measured' };
}

const set = (method: Method, scores: readonly Score[]): ScoreSet => ({
  method,
  scores,
  textHash: null,
  seed: null,
});

describe('weights', () => {
  test('of the gradual four, in any order', () => {
    expect(methodWeights(asked('noise', 'rtn', 'disable', 'upgrade'))).toEqual(
      new Map([
        ['noise', 0.15],
        ['rtn', 0.4],
        ['disable', 0.2],
        ['upgrade', 0.25],
      ]),
    );
  });

  test('of others are equal', () => {
    expect(methodWeights(asked('noise', 'rtn'))).toEqual(
      new Map([
        ['noise', 0.5],
        ['rtn', 0.5],
      ]),
    );
    expect([...methodWeights(asked('noise', 'rtn', 'disable', 'upgrade', 'variance')).values()]).toEqual(
      Array.from({ length: 5 }, () => 0.2),
    );
  });

  test('as asked for, whatever they add up to', () => {
    expect(methodWeights(asked(['noise', 1], ['rtn', 3]))).toEqual(
      new Map([
        ['noise', 0.25],
        ['rtn', 0.75],
      ]),
    );
  });

  test('are renormalised over the methods that ran', () => {
    const weights = methodWeights(asked('noise', 'rtn', 'disable', 'upgrade'), ['noise', 'rtn', 'upgrade']);
    expect([...weights.keys()]).toEqual(['noise', 'rtn', 'upgrade']);
    expect(weights.get('rtn')).toBeCloseTo(0.4 / 0.8, 12);
    expect([...weights.values()].reduce((sum, each) => sum + each, 0)).toBeCloseTo(1, 12);
  });
});

describe('shares', () => {
  test('of several methods are averaged, whatever their units', () => {
    const sets = [
      set('rtn', [score('rtn', 'a', 0.3), score('rtn', 'b', 0.1)]),
      set('noise', [score('noise', 'a', 50), score('noise', 'b', 50)]),
    ];
    const shares = combine(sets, methodWeights(asked(['rtn', 3], ['noise', 1])));
    expect(shares.get('a')).toBeCloseTo(0.75 * 0.75 + 0.25 * 0.5, 12);
    expect(shares.get('b')).toBeCloseTo(0.75 * 0.25 + 0.25 * 0.5, 12);
  });

  test('of a tensor that a method does not score come from the others', () => {
    const sets = [
      set('rtn', [score('rtn', 'a', 2), score('rtn', 'head', 2)]),
      set('disable', [score('disable', 'a', 7, null)]),
    ];
    const shares = combine(sets, methodWeights(asked('rtn', 'disable')));
    // The head: 0.5 of rtn alone. The other: the mean of 0.5 and 1. Both are scaled to 1 together.
    expect(shares.get('head')).toBeCloseTo(0.5 / 1.25, 12);
    expect(shares.get('a')).toBeCloseTo(0.75 / 1.25, 12);
  });

  test('of scores below zero are none, and of nothing but zeros are zero', () => {
    const one = set('upgrade', [score('upgrade', 'a', -1), score('upgrade', 'b', 3)]);
    expect([...sharesOf(one)]).toEqual([
      ['a', 0],
      ['b', 1],
    ]);
    const none = set('rtn', [score('rtn', 'a', 0), score('rtn', 'b', 0)]);
    expect([...combine([none], methodWeights(asked('rtn'))).values()]).toEqual([0, 0]);
  });
});

test('a tensor is spoken for by the scheme nearest to where plans are made; of equals, by the quick one', () => {
  const scores = [
    score('rtn', 'a', 1, 'Q2_K'),
    score('rtn', 'a', 2, 'IQ3_S'),
    score('rtn', 'a', 3, 'Q3_K'),
    score('rtn', 'a', 4, 'Q4_K'),
    score('rtn', 'b', 5, 'Q8_0'),
  ];
  const references = referenceScores(scores);
  expect(references.get('a')?.value).toBe(3);
  expect(references.get('b')?.value).toBe(5);
});
