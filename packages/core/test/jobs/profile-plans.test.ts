import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { plan } from '../../src/jobs/plan.js';
import type { PlanOptions } from '../../src/jobs/plan-options.js';
import { loadProfile, saveProfile } from '../../src/jobs/profiles.js';
import { expectFailure } from '../support/errors.js';
import { golden, orator, runJob } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

const home = await temporaryFolder();
const store = { profilesFolder: path.join(home, 'profiles') };
const base = {
  encoder: 'nearest',
  model: orator,
  contextTokens: 64,
  floorTokens: 64,
  probeTokens: 64,
  threads: 1,
  importanceMatrix: path.join(golden, 'orator-8m.imatrix.gguf'),
  home,
} as const satisfies PlanOptions;

const planned = async (options: Partial<PlanOptions>) => (await runJob(plan({ ...base, ...options }))).result;

/** Presets and rules ask nothing of the model but its names. */
let given: readonly (readonly [tensor: string, scheme: string])[];

beforeAll(async () => {
  const { tensors } = await planned({ preset: 'Q4_0' });
  given = tensors.map(({ tensor, scheme }) => [tensor, scheme]);
}, 60_000);

async function profileFile(name: string, text: string): Promise<string> {
  await mkdir(home, { recursive: true });
  const file = path.join(home, name);
  await writeFile(file, text);
  return file;
}

const lines = (entries: typeof given): string =>
  `tensors:\n${entries.map(([tensor, scheme]) => `  ${tensor}: ${scheme}\n`).join('')}`;

describe('a profile that names every tensor', () => {
  test('is a plan by hand: no budget is needed', async () => {
    const profile = await profileFile('manual.yaml', `method: rules\n${lines(given)}`);
    const made = await planned({ profile });
    expect(made.tensors.map(({ tensor, scheme }) => [tensor, scheme])).toEqual(given);
    expect(new Set(made.tensors.map(({ decidedBy }) => decidedBy.kind))).toEqual(new Set(['lock', 'kept']));
    expect(made.budget.request).toBe('a scheme for every tensor');
    expect(made.predicted.bytes).toBe(made.budget.bytes);
    expect(made.presetFloor).toBeNull();
  });

  test('but for some needs a budget, and plans those around the others', async () => {
    const part = given.filter(([tensor]) => !tensor.startsWith('blk.3.ffn'));
    const profile = await profileFile('hybrid.yaml', `method: rules\nschemes: [k-quants]\n${lines(part)}`);
    await expectFailure(
      () => planned({ profile }),
      'arguments',
      'BUDGET_MISSING',
      /blk\.3\.ffn_down\.weight, blk\.3\.ffn_gate\.weight, blk\.3\.ffn_up\.weight have none/,
    );
    const made = await planned({ profile, size: 5_300_000 });
    const schemes = new Map(made.tensors.map(({ tensor, scheme }) => [tensor, scheme]));
    for (const [tensor, scheme] of part) expect(schemes.get(tensor)).toBe(scheme);
    expect(made.predicted.bytes).toBeLessThanOrEqual(5_300_000);
    const open = made.tensors.filter(
      ({ decidedBy }) => decidedBy.kind !== 'lock' && decidedBy.kind !== 'kept',
    );
    expect(open).toHaveLength(3);
  });
});

describe('what is given beside a profile', () => {
  test('wins: its budget, not the one of the profile; locks of both hold', async () => {
    const profile = await profileFile(
      'small.yaml',
      'method: rules\nschemes: [k-quants]\nbudget:\n  bpw: 2.8\nlocks: [attn_v=Q5_K]\n',
    );
    const made = await planned({ profile, bitsPerWeight: 4, locks: ['attn_k=Q6_K'] });
    expect(made.budget.request).toBe('4 bits per weight');
    const of = (part: string) =>
      new Set(made.tensors.filter(({ tensor }) => tensor.includes(part)).map(({ scheme }) => scheme));
    expect([of('attn_v.'), of('attn_k.')]).toEqual([new Set(['Q5_K']), new Set(['Q6_K'])]);
  });

  test('may contradict it: two locks for one tensor are refused', async () => {
    const profile = await profileFile('locks.yaml', 'budget: {bpw: 4}\nlocks: [attn_v=Q5_K]\n');
    await expectFailure(() => planned({ profile, locks: ['attn_v=Q6_K'] }), 'plan', 'LOCK_CONFLICT');
  });
});

describe('a target or a policy', () => {
  test('gives a budget where none is given, and is told of', async () => {
    const { result, events } = await runJob(
      plan({ ...base, policy: 'quality-max', method: 'rules', schemes: ['k-quants'] }),
    );
    expect(result.budget.request).toBe('6.5 bits per weight');
    const notes = events.flatMap((event) => (event.type === 'note' ? [event.message] : []));
    expect(notes).toContain('No budget is given: 6.5 bits per weight, as quality-max has it.');
    const attention = result.tensors.filter(
      ({ tensor }) => /attn_[qkvo]\w*\.weight/.test(tensor) && !tensor.includes('norm'),
    );
    expect(new Set(attention.map(({ scheme }) => scheme))).toEqual(new Set(['Q6_K']));
  });

  test('does not stand in for what a plan by hand leaves open', async () => {
    const part = given.filter(([tensor]) => !tensor.startsWith('blk.3.ffn'));
    const profile = await profileFile('open.yaml', `method: rules\ntarget: local\n${lines(part)}`);
    await expectFailure(() => planned({ profile }), 'arguments', 'BUDGET_MISSING', /blk\.3\.ffn/);
  });

  test('has no place beside a preset, but for that of a profile, which gives way', async () => {
    const found = /found two of them: --policy balanced --target edge$/;
    const both = () => planned({ preset: 'Q4_0', policy: 'balanced', target: 'edge' });
    await expectFailure(both, 'arguments', 'POLICY_BESIDE_PLAN', found);
    const profile = await profileFile('policy.yaml', 'policy: quality-max\n');
    const made = await planned({ preset: 'Q4_0', profile });
    expect(made.tensors.map(({ tensor, scheme }) => [tensor, scheme])).toEqual(given);
  });

  test('that contradict each other end before anything is measured, with what is possible', async () => {
    await expectFailure(
      () => planned({ target: 'edge', policy: 'quality-max' }),
      'budget-impossible',
      'BUDGET_IMPOSSIBLE',
      /2\.625 bits per weight .* but the smallest possible is 6,4/,
    );
    await expectFailure(() => planned({ target: 'orbit' }), 'plan', 'TARGET_UNKNOWN');
    await expectFailure(() => planned({ policy: 'best' }), 'plan', 'POLICY_UNKNOWN');
  });
});

describe('kept profiles', () => {
  test('are found by name, and are not written over unasked', async () => {
    await saveProfile(store, 'mine', { policy: 'balanced', budget: { bpw: 3.6 } });
    expect(await loadProfile(store, 'mine')).toMatchObject({ profile: { policy: 'balanced' } });
    await expectFailure(() => saveProfile(store, 'mine', {}), 'profile', 'PROFILE_EXISTS');
    await saveProfile(store, 'mine', { target: 'edge' }, true);
    expect((await loadProfile(store, 'mine')).profile).toEqual({ target: 'edge' });
  });

  test('have names that are theirs alone', async () => {
    for (const name of ['edge', 'Balanced', '../up', '', 'a/b'])
      await expectFailure(() => saveProfile(store, name, {}), 'profile', 'PROFILE_NAME');
    await expectFailure(
      () => loadProfile(store, 'mien'),
      'profile',
      'PROFILE_NOT_FOUND',
      /no profile 'mien'/,
    );
    await expectFailure(() => saveProfile(store, 'bad', { locks: ['x'] }), 'profile', 'LOCK_MALFORMED');
  });
});
