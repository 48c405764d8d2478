import type { SearchRecord } from '@bitsmith/core';
import { expect, test } from 'vitest';
import { searchLines } from '../../src/render/search.js';

const plain = { width: 80, color: false, unicode: false } as const;
const evolve = {
  search: 'evolve',
  settings: {
    population: 20,
    generations: 10,
    mutation: 0.2,
    crossover: 0.7,
    elite: 0.1,
    tournament: 3,
    maxEvaluations: 200,
    searchTokens: 1_048_576,
  },
  seed: 1,
  levelTokens: [2048, 16_384, 26_112],
  history: [
    { generation: 0, best: 0.0621, mean: 0.0654, worst: 0.105, evaluations: 20, tokens: 132_096 },
    { generation: 1, best: 0.062, mean: 0.063, worst: 0.0638, evaluations: 38, tokens: 260_096 },
  ],
  verdict: {
    taken: 'search',
    tokens: 25_856,
    fresh: true,
    seeds: [{ name: 'solver', klNats: 0.0612, standardError: 0.0008 }],
    found: { klNats: 0.0607, standardError: 0.0008 },
    difference: { nats: -0.000_475, standardError: 0.000_223 },
    limit: null,
  },
  priceError: 0.2,
  evaluations: 38,
  tokens: 311_808,
} as const satisfies SearchRecord;

test('a search says what came of it and what it took', () => {
  expect(searchLines(evolve, plain)).toEqual([
    "  search evolve    0.8 % +- 0.4 % less loss than the solver's plan on fresh text",
    '                   1 generation, 38 plans over 311,808 tokens',
  ]);
});

test('a search that found nothing sure says what stays', () => {
  const { verdict } = evolve;
  const seeds = [...verdict.seeds, { name: 'IQ2_M', klNats: 0.06, standardError: 0.0008 }];
  const lost = { ...evolve, verdict: { ...verdict, taken: 'IQ2_M', seeds, fresh: false } };
  expect(searchLines(lost, plain)[0]).toBe(
    '  search evolve    0.8 % +- 0.4 % less loss than preset IQ2_M, which stays',
  );
  const nothing = { ...lost, verdict: { ...lost.verdict, found: null, difference: null } };
  expect(searchLines(nothing, plain)[0]).toBe('  search evolve    nothing better found: preset IQ2_M stays');
});

test('within a limit of loss the smaller plan counts', () => {
  const under = (foundBytes: number | null) => ({
    ...evolve,
    verdict: { ...evolve.verdict, limit: { allowedNats: 0.05, solverBytes: 3_439_616, foundBytes } },
  });
  expect(searchLines(under(3_400_000), plain)[0]).toBe(
    "  search evolve    39.6 kB (1.2 %) smaller than the solver's plan",
  );
  expect(searchLines(under(null), plain)[0]).toBe(
    "  search evolve    nothing smaller for 0.0500 nats: the solver's plan stays",
  );
});

test('without a search there is nothing to say', () => {
  expect(searchLines(null, plain)).toEqual([]);
});
