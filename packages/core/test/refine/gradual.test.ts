import { describe, expect, test } from 'vitest';
import type { TrueLoss } from '../../src/measure/live/variants-task.js';
import { bytesOf, priceSumOf } from '../../src/refine/assignment.js';
import type { SearchSpace } from '../../src/refine/genes.js';
import { descend, type MeasureStates, type PathStep, type State } from '../../src/refine/gradual/descent.js';
import { globalPass } from '../../src/refine/gradual/global-pass.js';
import { gradualSettings } from '../../src/refine/gradual/options.js';
import { memoryAnalysis, quantizationReport } from '../../src/refine/gradual/reports.js';
import { plainRounding, type RoundingMethod } from '../../src/refine/gradual/rounding.js';
import { stagesOf } from '../../src/refine/gradual/stages.js';
import { finish } from '../../src/run/work.js';
import { smallLlama } from '../plan/models.js';
import { expectFailure } from '../support/errors.js';
import { solvedOf, spaceOf } from './spaces.js';

const tensors = smallLlama(3);
const elements = new Map(tensors.map(({ name, elements: count }) => [name, count]));
const ladder = [8, 4, 2];

type Loss = Pick<TrueLoss, 'klNats' | 'standardError' | 'sequenceKlNats'>;

/** A model that loses what `nats` says, in every sequence alike. */
function modelOf(nats: (state: State) => number): { measure: MeasureStates; count: () => number } {
  let measured = 0;
  return {
    count: () => measured,
    async *measure(states) {
      measured += states.length;
      yield { type: 'note', level: 'verbose', message: `${measured} measured` };
      return states.map((state): Loss => {
        const klNats = nats(state);
        return { klNats, standardError: 0, sequenceKlNats: [klNats, klNats, klNats] };
      });
    },
  };
}

const byPrice =
  ({ choices }: SearchSpace) =>
  ({ assignment }: State): number =>
    priceSumOf(choices, assignment);

function stages(space: SearchSpace) {
  return stagesOf(space, ladder, 1e-9, (tensor) => elements.get(tensor) ?? 0);
}

async function descended(
  space: SearchSpace,
  allowanceNats: number,
  {
    nats = byPrice(space),
    roundings = [plainRounding] as readonly RoundingMethod[],
    goOn = (): boolean => true,
  } = {},
) {
  const { measure } = modelOf(nats);
  const input = {
    space,
    stages: stages(space),
    ladder,
    natsPerByte: 1e-9,
    allowanceNats,
    roundings,
    measure,
    goOn,
  };
  return finish(descend(input) as never) as Promise<{ state: State; path: PathStep[] }>;
}

describe('the order', () => {
  test('goes from the least important stage to the most, tensors within it likewise', () => {
    const order = stages(spaceOf(1, 0.3));
    expect(order).toHaveLength(5);
    const importance = order.map((stage) => stage.importance);
    expect(importance).toEqual(importance.toSorted((a, b) => a - b));
    expect(order.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 12);
  });

  test('counts blocks by number where they matter alike, and grants by the root of importance', () => {
    const space = spaceOf(1, 0.3);
    const many = { ...space, genes: space.genes.filter(({ block }) => block !== null) };
    const alike = many.genes.flatMap((gene) => [2, 10, 9].map((block) => ({ ...gene, block })));
    const order = stages({ ...many, genes: alike });
    expect(order.map(({ block }) => block)).toEqual([2, 9, 10]);
    for (const { share } of order) expect(share).toBeCloseTo(1 / 3, 12);
    const [first, second] = stages(space).filter(({ block }) => block !== null);
    const ratio = Math.sqrt(second.importance / first.importance);
    expect(first.share / second.share).toBeCloseTo(ratio, 9);
  });
});

describe('the descent', () => {
  test('takes no step beyond what is granted, and keeps nothing of a step that failed', async () => {
    const space = spaceOf(2, 0.3);
    const all = 1.5 * priceSumOf(space.choices, solvedOf(space));
    const { state, path } = await descended(space, all);
    const kept = path.filter(({ outcome }) => outcome === 'accepted');
    for (const step of kept) expect(step.klNats).toBeLessThanOrEqual(step.allowedNats!);
    for (const step of path.filter(({ outcome }) => outcome !== 'accepted'))
      expect(step.klNats).toBeGreaterThan(step.allowedNats!);
    expect(path.length).toBeGreaterThan(kept.length);
    // Played again, the accepted steps alone give the plan.
    const schemes = new Map<string, string>();
    for (const step of kept)
      for (const [tensor, scheme] of Object.entries(step.tensors)) schemes.set(tensor, scheme);
    space.choices.forEach(({ tensor, candidates }, index) => {
      const { scheme } = candidates[state.assignment[index]];
      expect(scheme).toBe(schemes.get(tensor) ?? candidates.at(-1)!.scheme);
    });
    expect(priceSumOf(space.choices, state.assignment)).toBeLessThanOrEqual(all);
  });

  test('with nothing granted leaves everything as it is stored', async () => {
    const space = spaceOf(2, 0.3);
    const { state, path } = await descended(space, 0);
    expect(priceSumOf(space.choices, state.assignment)).toBe(0);
    expect(path.every(({ outcome }) => outcome === 'rolled-back')).toBe(true);
  });

  test('tries another rounding where the plain one fails a step', async () => {
    const space = spaceOf(2, 0.3);
    const trained: RoundingMethod = { name: 'gentle', change: plainRounding.change };
    const nats = ({ assignment, roundings }: State): number =>
      space.choices.reduce((sum, { tensor, candidates }, index) => {
        const factor = roundings.get(tensor) === trained ? 0.1 : 1;
        return sum + factor * candidates[assignment[index]].klNats;
      }, 0);
    const all = 0.5 * priceSumOf(space.choices, solvedOf(space));
    const alone = await descended(space, all, { nats });
    const both = await descended(space, all, { nats, roundings: [plainRounding, trained] });
    const gentle = both.path.filter(({ rounding }) => rounding === 'gentle');
    expect(gentle.some(({ outcome }) => outcome === 'accepted')).toBe(true);
    for (const step of gentle) {
      const before = both.path[both.path.indexOf(step) - 1];
      expect(before).toMatchObject({ rounding: 'plain', outcome: 'rolled-back', bits: step.bits });
    }
    expect(bytesOf(space.choices, both.state.assignment)).toBeLessThan(
      bytesOf(space.choices, alone.state.assignment),
    );
    const ready = new Set<string>();
    const made: RoundingMethod = {
      name: 'gentle',
      async *prepare(schemes) {
        yield { type: 'note', level: 'verbose', message: `${schemes.size} made` };
        for (const [tensor, scheme] of schemes) ready.add(`${tensor} ${scheme}`);
      },
      change: (tensor, scheme) =>
        ready.has(`${tensor} ${scheme}`) ? { kind: 'encoded', scheme, path: 'made', name: tensor } : null,
    };
    const withMade = await descended(space, all, { nats, roundings: [plainRounding, made] });
    // Only what plain rounding failed is made.
    expect(
      new Set(
        withMade.path
          .filter(({ rounding }) => rounding === 'gentle')
          .flatMap(({ tensors: of }) => Object.entries(of).map((each) => each.join(' '))),
      ),
    ).toEqual(ready);
    expect(ready.size).toBeGreaterThan(0);
    const none: RoundingMethod = { name: 'none', change: () => null };
    expect((await descended(space, all, { nats, roundings: [plainRounding, none] })).path).toEqual(
      alone.path,
    );
  });

  test('stops where tokens end', async () => {
    const space = spaceOf(2, 0.3);
    let left = 4;
    const { path } = await descended(space, 1, { goOn: () => left-- > 0 });
    expect(path.length).toBeLessThanOrEqual(4);
  });
});

describe('the global pass', () => {
  const passed = async (
    space: SearchSpace,
    from: readonly number[],
    { maxKlNats = null as number | null, nats = byPrice(space) } = {},
  ) => {
    const { measure } = modelOf(nats);
    const input = { space, maxKlNats, rounding: plainRounding, measure, goOn: () => true };
    const state = { assignment: from, roundings: new Map() };
    return finish(globalPass(input, state) as never) as Promise<{ state: State; path: PathStep[] }>;
  };
  const lowest = ({ choices }: SearchSpace) => choices.map(() => 0);
  const highest = ({ choices }: SearchSpace) => choices.map(({ candidates }) => candidates.length - 1);

  test('brings plans from above and from below to the bytes there are', async () => {
    const space = spaceOf(4, 0.3);
    for (const from of [lowest(space), highest(space)]) {
      const { state } = await passed(space, from);
      const bytes = bytesOf(space.choices, state.assignment);
      expect(bytes).toBeLessThanOrEqual(space.capacityBytes);
      expect(bytes).toBeGreaterThan(0.97 * space.capacityBytes);
      const solved = priceSumOf(space.choices, solvedOf(space));
      expect(priceSumOf(space.choices, state.assignment)).toBeLessThan(1.1 * solved);
    }
  });

  test('stops upgrading as soon as the loss that the user allows is met', async () => {
    const space = spaceOf(4, 1);
    const maxKlNats = 0.2 * priceSumOf(space.choices, lowest(space));
    const { state, path } = await passed(space, lowest(space), { maxKlNats });
    expect(priceSumOf(space.choices, state.assignment)).toBeLessThanOrEqual(maxKlNats);
    expect(path.at(-2)!.klNats).toBeGreaterThan(maxKlNats);
    expect(bytesOf(space.choices, state.assignment)).toBeLessThan(0.7 * space.capacityBytes);
  });

  test('takes an upgrade back that makes the model worse', async () => {
    const space = spaceOf(4, 0.3);
    const bad = space.choices.findIndex(({ tensor }) => tensor === 'blk.1.ffn_up.weight');
    const nats = (state: State): number => byPrice(space)(state) + state.assignment[bad];
    const { state, path } = await passed(space, lowest(space), { nats });
    expect(state.assignment[bad]).toBe(0);
    const back = path.filter(({ outcome }) => outcome === 'rolled-back');
    expect(back.map((step) => Object.keys(step.tensors))).toEqual([['blk.1.ffn_up.weight']]);
  });
});

test('the reports add up', () => {
  const space = spaceOf(4, 0.3);
  const plan = solvedOf(space);
  const memory = memoryAnalysis(tensors, space.choices, plan);
  expect(memory.afterBytes).toBe(bytesOf(space.choices, plan));
  for (const parts of [memory.byRole, memory.byBits]) {
    expect(parts.reduce((sum, { afterBytes }) => sum + afterBytes, 0)).toBe(memory.afterBytes);
    expect(parts.reduce((sum, { beforeBytes }) => sum + beforeBytes, 0)).toBe(memory.beforeBytes);
  }
  expect(memory.reduction).toBeCloseTo(1 - memory.afterBytes / memory.beforeBytes, 12);
  const steps = [{ outcome: 'accepted' }, { outcome: 'rolled-back' }, { outcome: 'accepted' }] as const;
  const report = quantizationReport(tensors, space.choices, plan, steps);
  expect(report).toMatchObject({ accepted: 2, rolledBack: 1 });
  expect(report.tensors).toHaveLength(space.choices.length);
});

test.each([
  [{ ladder: [4, 8] }, /bits that fall, for example 8,4,2 as the ladder of the search, found 4,8$/],
  [{ ladder: [] }, /as the ladder/],
  [{ safetyMultiplier: 0.5 }, /at least 1 as the safety multiplier of the search, found 0\.5$/],
])('%j is refused', async (options, message) => {
  await expectFailure(() => gradualSettings(options), 'arguments', 'SEARCH_INVALID', message);
});
