/** @file The planner's solver against HiGHS, a mixed-integer solver that shares nothing with it. */
import highsLoader from 'highs';
import { beforeAll, describe, expect, it } from 'vitest';
import { type CouplingGroup, expandPicked, mergeCoupled } from '../../src/plan/coupling.js';
import { solve } from '../../src/plan/solve.js';
import type { Choice } from '../../src/plan/types.js';
import { randomFrom } from '../support/random.js';
import { capacityAt, type Instance, mixtureLike, transformerLike } from './instances.js';

// The package types its default export as a CommonJS module's, but is loaded as an ES module.
const loadHighs = highsLoader as unknown as typeof highsLoader.default;

/** HiGHS accepts variables within 1e-6 of an integer, so its optimum is only that exact. */
const TOLERANCE = 1e-5;

describe('solve against HiGHS', () => {
  let highs: Awaited<ReturnType<typeof loadHighs>>;
  beforeAll(async () => {
    highs = await loadHighs();
  });

  /**
   * The least nats of a mixed-integer program in LP format: one variable a tensor and scheme, costs and bytes scaled to the
   * solver's comfort. Coupled tensors have a row for every scheme that one of them has.
   */
  function optimum(
    choices: readonly Choice[],
    capacity: number,
    groups: readonly CouplingGroup[] = [],
  ): number {
    const name = (choice: number, scheme: string): string => `x${choice}_${scheme}`;
    const items = choices.flatMap(({ candidates }, choice) =>
      candidates.map((item) => ({ name: name(choice, item.scheme), ...item })),
    );
    const largest = Math.max(...items.map(({ klNats }) => klNats));
    const terms = (coefficient: (item: (typeof items)[number]) => number) =>
      items.map((item) => `${coefficient(item)} ${item.name}`).join(' + ');
    const one = choices.map(
      ({ candidates }, choice) =>
        `c${choice}: ${candidates.map(({ scheme }) => name(choice, scheme)).join(' + ')} = 1`,
    );
    const model = [
      `Minimize\n cost: ${terms(({ klNats }) => (klNats / largest) * 1000)}`,
      `Subject To\n bytes: ${terms(({ bytes }) => bytes / 32)} <= ${Math.floor(capacity / 32)}`,
      ...one,
      ...groups.flatMap(({ tensors }) => equalities(choices, tensors, name)),
      `Binary\n ${items.map((item) => item.name).join(' ')}\nEnd`,
    ].join('\n');
    const result = highs.solve(model, {
      output_flag: false,
      mip_rel_gap: 0,
      mip_abs_gap: 1e-9,
      time_limit: 20,
    });
    expect(result.Status).toBe('Optimal');
    return (result.ObjectiveValue / 1000) * largest;
  }

  it('is as good on 200 random instances', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const make = seed % 4 === 0 ? mixtureLike : transformerLike;
      const instance = make(seed, 4 + (seed % 11), 3 + (seed % 6));
      const capacity = capacityAt(instance, 0.05 + (seed % 10) * 0.08);
      const solution = solve(instance.choices, capacity);
      const best = optimum(named(instance), capacity);
      expect(solution.gap).toBe(0);
      expect(Math.abs(solution.klNats - best) / best).toBeLessThan(TOLERANCE);
    }
  });

  it('is as good on 150 random instances whose tensors are coupled', () => {
    let coupledCostsMore = 0;
    for (let seed = 1; seed <= 150; seed++) {
      const random = randomFrom(seed);
      const instance = transformerLike(seed, 6 + (seed % 8), 4 + (seed % 5));
      // Members may lack schemes that others have; the first scheme is everybody's.
      const choices = named(instance).map(({ candidates, ...rest }) => ({
        ...rest,
        candidates: candidates.filter((_, index) => index === 0 || random() < 0.8),
      }));
      const groups: CouplingGroup[] = [
        { kind: 'qkv', tensors: ['t0', 't1', 't2'] },
        { kind: 'gate-up', tensors: ['t5', 't3'] },
      ];
      const capacity = capacityAt(instance, 0.05 + (seed % 10) * 0.08);
      const merged = mergeCoupled(choices, groups);
      const solution = solve(merged, capacity);
      const picked = expandPicked(choices, merged, solution.picked);
      const taken = choices.map(({ candidates }, index) => candidates[picked[index]]);
      const best = optimum(choices, capacity, groups);
      expect(solution.gap).toBe(0);
      expect(Math.abs(solution.klNats - best) / best).toBeLessThan(TOLERANCE);
      expect(taken.reduce((sum, { klNats }) => sum + klNats, 0)).toBeCloseTo(solution.klNats, 12);
      expect(taken.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(solution.bytes);
      expect(new Set([0, 1, 2].map((index) => taken[index].scheme)).size).toBe(1);
      expect(taken[3].scheme).toBe(taken[5].scheme);
      if (solution.klNats > solve(choices, capacity).klNats * (1 + 1e-9)) coupledCostsMore++;
    }
    // Couplings that never bind would prove nothing.
    expect(coupledCostsMore).toBeGreaterThan(100);
  });
});

function named({ choices }: Instance): readonly Choice[] {
  return choices.map(({ candidates }, index) => ({
    tensor: `t${index}`,
    constraint: null,
    candidates: candidates.map((item, scheme) => ({ ...item, scheme: `s${scheme}` })),
  }));
}

/** Rows that make each scheme's variables of the members equal, and 0 where a member does not have the scheme. */
function equalities(
  choices: readonly Choice[],
  tensors: readonly string[],
  name: (choice: number, scheme: string) => string,
): string[] {
  const members = tensors.map((tensor) => choices.findIndex((choice) => choice.tensor === tensor));
  const has = (member: number, scheme: string): boolean =>
    choices[member].candidates.some((candidate) => candidate.scheme === scheme);
  const schemes = new Set(
    members.flatMap((member) => choices[member].candidates.map(({ scheme }) => scheme)),
  );
  return [...schemes].flatMap((scheme) => {
    const [first, ...others] = members
      .filter((member) => has(member, scheme))
      .map((member) => name(member, scheme));
    if (others.length + 1 < members.length)
      return [first, ...others].map((variable) => `z${variable}: ${variable} = 0`);
    return others.map((other) => `e${first}${other}: ${first} - ${other} = 0`);
  });
}
