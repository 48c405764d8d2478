import { describe, expect, test } from 'vitest';
import type { TrueLoss } from '../../src/measure/live/variants-task.js';
import { blockOf } from '../../src/model/roles.js';
import { type Assignment, bytesOf } from '../../src/refine/assignment.js';
import type { State } from '../../src/refine/gradual/descent.js';
import { limitOnSteps, type Losses, smallestWithin } from '../../src/refine/gradual/loss-budget.js';
import { searchSpace } from '../../src/refine/genes.js';
import { plainRounding } from '../../src/refine/gradual/rounding.js';
import { finish } from '../../src/run/work.js';
import { solvedOf, spaceOf } from './spaces.js';

const space = spaceOf(4, 0.3);
const plan = solvedOf(space);
const bytes = (assignment: Assignment): number => bytesOf(space.choices, assignment);
const text = { name: 'whole', sha256: '', contextTokens: 100, chunks: [new Int32Array(100)] } as never;

/** What prices overrate: the solver spends bytes on these tensors that others need more. */
const factorOf = (tensor: string): number => (/blk\.\d\.ffn_/.test(tensor) ? 0.05 : 1);
const trueNats = (assignment: Assignment): number =>
  space.choices.reduce(
    (sum, { tensor, candidates }, index) => sum + factorOf(tensor) * candidates[assignment[index]].klNats,
    0,
  );
/** Where a descent could end that found them harmless: above the limit, with bytes to spare. */
const from = descendedTo(0.86 * space.capacityBytes);

function descendedTo(capacityBytes: number): number[] {
  const known = space.choices.map((choice) => ({
    ...choice,
    candidates: choice.candidates.map((each) => ({ ...each, klNats: factorOf(choice.tensor) * each.klNats })),
  }));
  return solvedOf(searchSpace(known, capacityBytes, blockOf));
}

/** A model that loses so much on the whole text, and the text of the steps that is so much easier. */
function modelOf(whole: (assignment: Assignment) => number, ease: number) {
  const measured: Assignment[] = [];
  const known = new Map<string, TrueLoss>();
  const ledger: Losses = {
    tokens: 0,
    async *measure(assignments) {
      yield { type: 'note', level: 'verbose', message: 'measured' };
      for (const each of assignments) {
        measured.push(each);
        const klNats = whole(each);
        const loss = { klNats, standardError: 0, sequenceKlNats: [klNats, klNats], nllIncreaseNats: klNats };
        known.set(each.join(), loss);
      }
    },
    lossOn: (_, assignment) => known.get(assignment.join()) ?? null,
    refuseOverflow: () => undefined,
  };
  const steps = async function* (states: readonly State[]) {
    yield { type: 'note', level: 'verbose', message: 'steps' } as const;
    return states.map(({ assignment }) => {
      const klNats = ease * trueNats(assignment);
      return { klNats, standardError: 0, sequenceKlNats: [klNats, klNats] };
    });
  };
  return { measured, ledger, steps };
}

async function endOf(whole: (assignment: Assignment) => number, allowedNats: number, ease = 0.8) {
  const { measured, ledger, steps } = modelOf(whole, ease);
  const limit = { allowedNats, text };
  const stepLimit = await finish(limitOnSteps(ledger, limit, plan, ease * trueNats(plan)));
  const global = { space, rounding: plainRounding, measure: steps, goOn: () => true };
  const ending = { ledger, global, limit, plan, searchTokens: 1e6 };
  const state = { assignment: from, roundings: new Map() };
  return { measured, stepLimit, ...(await finish(smallestWithin(ending, state, stepLimit))) };
}

describe('a limit of loss', () => {
  test('is held by the smallest plan that upgrades lead through', async () => {
    const allowed = trueNats(plan);
    expect(trueNats(from)).toBeGreaterThan(allowed);
    const { assignment, verdict, stepLimit, path } = await endOf(trueNats, allowed);
    expect(stepLimit).toBeCloseTo(0.8 * allowed, 12);
    expect(trueNats(assignment)).toBeLessThanOrEqual(allowed);
    expect(bytes(assignment)).toBeLessThan(bytes(plan));
    expect(verdict).toMatchObject({
      taken: 'search',
      limit: { allowedNats: allowed, solverBytes: bytes(plan), foundBytes: bytes(assignment) },
      found: { klNats: trueNats(assignment) },
    });
    // One step less does not hold it.
    expect(path.at(-2)!.klNats).toBeGreaterThan(stepLimit);
  });

  test('that a text of few tokens took for held is held on the whole all the same', async () => {
    const harder = (assignment: Assignment): number =>
      trueNats(assignment) * (assignment.join() === plan.join() ? 1 : 1.05);
    const allowed = trueNats(plan);
    const { assignment, verdict, measured } = await endOf(harder, allowed);
    expect(verdict.taken).toBe('search');
    expect(harder(assignment)).toBeLessThanOrEqual(allowed);
    expect(measured.map(harder).some((nats) => nats > allowed)).toBe(true);
  });

  test('is used up where the whole text is kinder than that of the steps', async () => {
    const kinder = (assignment: Assignment): number =>
      trueNats(assignment) * (assignment.join() === plan.join() ? 1 : 0.9);
    const allowed = trueNats(plan);
    const { assignment } = await endOf(kinder, allowed);
    expect(kinder(assignment)).toBeLessThanOrEqual(allowed);
    expect(trueNats(assignment)).toBeGreaterThan(allowed);
    expect(bytes(assignment)).toBeLessThan(bytes((await endOf(trueNats, allowed)).assignment));
  });

  test('leaves the plan of the solver where nothing smaller holds it', async () => {
    const worse = (assignment: Assignment): number =>
      trueNats(assignment) * (assignment.join() === plan.join() ? 1 : 5);
    const { assignment, verdict } = await endOf(worse, trueNats(plan));
    expect(assignment).toEqual(plan);
    expect(verdict).toMatchObject({ taken: 'solver', found: null, limit: { foundBytes: null } });
  });
});
