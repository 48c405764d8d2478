import path from 'node:path';
import { BitsmithError, type ErrorKind } from '@bitsmith/formats';
import { beforeAll, describe, expect, test } from 'vitest';
import { plan } from '../../src/jobs/plan.js';
import type { PlanOptions } from '../../src/jobs/plan-options.js';
import { openModel } from '../../src/model/open.js';
import type { Plan } from '../../src/plan/types.js';
import { presetRecipes } from '../../src/presets/recipes.js';
import { asMemoryAllows } from '../../src/refine/preset-floor.js';
import { inRun } from '../../src/run/context.js';
import type { RunEvent, Work } from '../../src/run/events.js';
import { expectFailure } from '../support/errors.js';
import { golden, orator, runJob } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

const home = await temporaryFolder();
const small = {
  encoder: 'nearest',
  model: orator,
  contextTokens: 64,
  floorTokens: 256,
  threads: 1,
  importanceMatrix: path.join(golden, 'orator-8m.imatrix.gguf'),
  home,
} as const satisfies PlanOptions;

const planned = (options: Partial<PlanOptions>) => runJob(plan({ ...small, ...options }));
const notesOf = (events: readonly RunEvent[]) =>
  events.flatMap((event) => (event.type === 'note' ? [event.message] : []));

/** K-quants are quick to encode. */
const wish: Partial<PlanOptions> = { method: 'rules', bitsPerWeight: 4, schemes: ['k-quants'] };

/** Names keep the head and embedding at eight bits, and pay for it everywhere else. */
let byRules: { readonly result: Plan; readonly events: readonly RunEvent[] };

beforeAll(async () => {
  byRules = await planned(wish);
}, 120_000);

describe('a preset that loses less than the plan', () => {
  test('is what the user gets, tensor by tensor as llama.cpp has it', async () => {
    const { result } = byRules;
    const floor = result.presetFloor;
    expect(floor?.winner).toBe('preset');
    const work = inRun({ home, threads: 1 }, async function* (run) {
      return presetRecipes(run, yield* openModel(orator, { store: run.store }));
    });
    const recipe = [...(await runJob(work)).result].find(([name]) => name === floor?.preset)?.[1];
    expect(new Map(result.tensors.map(({ tensor, scheme }) => [tensor, scheme]))).toEqual(recipe);
    expect(result.predicted.bytes).toBe(floor?.presetBytes);
    expect(result.predicted.bytes).toBeLessThanOrEqual(result.budget.bytes);
  });

  test('is told of: in every reason, in figures, and while it runs', () => {
    const { result, events } = byRules;
    const { presetFloor: floor } = result;
    if (floor === null) throw new Error('expected a preset');
    expect(floor.presetKlNats.value).toBeLessThan(floor.planKlNats.value);
    expect(floor.differenceNats.value).toBeCloseTo(floor.planKlNats.value - floor.presetKlNats.value, 9);
    expect(floor).toMatchObject({ tokens: 256, evidence: 'measured' });
    const decided = result.tensors.filter(({ decidedBy }) => decidedBy.kind === 'preset');
    expect(decided.length).toBe(58);
    expect(new Set(decided.map(({ reason }) => reason))).toEqual(new Set([`preset ${floor.preset}`]));
    // Rules are no losses: nothing of them is left as a prediction.
    expect(result.predicted.klNats).toBeNull();
    expect(notesOf(events).some((note) => note.startsWith(`llama.cpp's ${floor.preset} loses less`))).toBe(
      true,
    );
  });

  test('comes out the same from what was measured before', async () => {
    const again = await planned(wish);
    expect(again.result).toEqual(byRules.result);
    const stages = again.events.filter((event) => event.type === 'stage-end');
    expect(stages.map(({ cached }) => cached)).toEqual(stages.map(() => true));
  });
});

describe('a plan that loses less than the preset', () => {
  test('stays, with both losses in it', async () => {
    const { result } = await planned({
      method: 'probe',
      probeTokens: 128,
      size: 14_900_000,
      locks: [String.raw`blk\.[1-7]|attn|token_embd=keep`],
      schemes: ['k-quants'],
    });
    const { presetFloor: floor, tensors } = result;
    if (floor === null) throw new Error('expected a preset');
    expect(floor.winner).toBe('plan');
    expect(floor.planKlNats.value).toBeLessThan(floor.presetKlNats.value);
    expect(floor.presetBytes).toBeLessThanOrEqual(result.budget.bytes);
    expect(tensors.filter(({ decidedBy }) => decidedBy.kind === 'price')).toHaveLength(4);
  });
});

describe('a machine without room for a whole plan', () => {
  async function* failing(kind: ErrorKind, code: string): Work<string> {
    yield { type: 'note', level: 'verbose', message: 'begun' };
    throw new BitsmithError(kind, code, 'no room for it');
  }

  test('goes without the comparison, and says so', async () => {
    const { result, events } = await runJob(asMemoryAllows(failing('resources', 'ENGINE_OUT_OF_MEMORY')));
    expect(result).toBeNull();
    expect(notesOf(events)).toEqual([
      'begun',
      'The plan was not compared with a preset of llama.cpp: no room for it',
    ]);
  });

  test('is the only reason to go without', async () => {
    const full = () => runJob(asMemoryAllows(failing('resources', 'DISK_FULL')));
    await expectFailure(full, 'resources', 'DISK_FULL');
  });
});

describe('a preset by name', () => {
  test('is the plan, without a price or a measurement', async () => {
    const { result, events } = await planned({ preset: 'q3_k_m' });
    expect(result.budget).toEqual({ request: 'preset Q3_K_M', bytes: result.predicted.bytes });
    expect(result.presetFloor).toBeNull();
    expect(
      events.filter(
        (event) => event.type === 'stage-start' && (event.stage === 'measure' || event.stage === 'refine'),
      ),
    ).toEqual([]);
  });

  test('is refused beside a plan, a budget, or what contradicts it', async () => {
    const refused = (options: Partial<PlanOptions>, code: string) =>
      expectFailure(() => planned({ preset: 'Q3_K_M', ...options }), 'arguments', code);
    await refused({ planFile: 'plan.yaml' }, 'PRESET_BESIDE_PLAN');
    await refused({ bitsPerWeight: 4 }, 'BUDGET_BESIDE_PLAN');
    await refused({ floors: ['attention=4bit'] }, 'FLOOR_BESIDE_PLAN');
    await refused({ schemes: ['i-quants'] }, 'SCHEMES_BESIDE_PLAN');
    await expectFailure(() => planned({ preset: 'Q3_K' }), 'plan', 'PRESET_UNKNOWN');
  });
});
