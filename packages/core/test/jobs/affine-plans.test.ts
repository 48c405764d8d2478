import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { plan } from '../../src/jobs/plan.js';
import type { PlanOptions } from '../../src/jobs/plan-options.js';
import { quantize } from '../../src/jobs/quantize.js';
import { adoptCalibration } from '../../src/calibrate/calibrate.js';
import { measureVariants } from '../../src/measure/live/variants.js';
import { openModel } from '../../src/model/open.js';
import { findScheme, type StorageType } from '../../src/plan/schemes.js';
import type { Plan } from '../../src/plan/types.js';
import { inRun } from '../../src/run/context.js';
import { loadCorpus } from '../../src/text/corpus.js';
import { spreadChunks, tokenizeTexts } from '../../src/text/tokenize.js';
import { expectFailure } from '../support/errors.js';
import { golden, orator, runJob } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

const root = await temporaryFolder();
const home = path.join(root, 'home');
const imatrix = path.join(golden, 'orator-8m.imatrix.gguf');
const file = path.join(root, 'plan.yaml');

/** One block is free. */
const small = {
  model: orator,
  home,
  size: 14_600_000,
  locks: [String.raw`blk\.[1-7]\.|token_embd=keep`, 'attn_v=int8'],
  contextTokens: 64,
  samples: 8,
  threads: 2,
  importanceMatrix: imatrix,
  encoder: 'nearest',
  schemes: ['affine3', 'affine4', 'affine5-g64'],
} as const satisfies PlanOptions;

let made: Plan;

beforeAll(async () => {
  made = (await runJob(plan({ ...small, locks: [small.locks[0]], savePlan: file }))).result;
}, 120_000);

test('a plan takes what it may, and fits', () => {
  const free = made.tensors.filter(({ decidedBy }) => decidedBy.kind === 'price');
  expect(free.map(({ tensor }) => tensor)).toContain('output.weight');
  const taken = free.map(({ scheme }) => scheme).filter((scheme) => scheme !== 'BF16');
  expect(taken.length).toBeGreaterThan(4);
  for (const scheme of taken) expect(scheme).toMatch(/^affine([34]-|5-g64$)/);
  expect(made.predicted.bytes).toBeLessThanOrEqual(small.size);
  expect(made.predicted.bytes).toBeGreaterThan(small.size * 0.97);
});

test('its file gives it back', async () => {
  const { size: _size, locks: _locks, schemes: _schemes, ...rest } = small;
  const again = (await runJob(plan({ ...rest, planFile: file }))).result;
  expect(again.hash).toBe(made.hash);
  expect(again.predicted.bytes).toBe(made.predicted.bytes);
});

test('its true loss, in the live model, is near what its prices say', async () => {
  const changes = made.tensors
    .filter(({ scheme }) => findScheme(scheme)?.family === 'affine')
    .map(({ tensor, scheme }) => ({
      tensor,
      change: { kind: 'scheme', scheme: scheme as StorageType } as const,
    }));
  const fine = changes.map(({ tensor }) => ({
    tensor,
    change: { kind: 'scheme', scheme: 'affine8-g16' } as const,
  }));
  const measuring = inRun({ home, threads: 2 }, async function* (run) {
    const model = yield* openModel(orator, { store: run.store });
    const [search] = await tokenizeTexts(
      run,
      model,
      [(await loadCorpus(undefined)).search],
      small.contextTokens,
    );
    const calibration = yield* adoptCalibration(run, model, imatrix);
    const variants = [
      { id: 'plan', changes },
      { id: 'fine', changes: fine },
    ];
    return yield* measureVariants(run, model, calibration, spreadChunks(search, 2048), variants);
  });
  const losses = (await runJob(measuring)).result;
  const ratio = losses.get('plan')!.klNats / made.predicted.klNats!;
  expect(ratio).toBeGreaterThan(0.6);
  expect(ratio).toBeLessThan(1.6);
  expect(losses.get('fine')!.klNats).toBeLessThan(losses.get('plan')!.klNats / 20);
});

test('a GGUF is not begun for what it cannot hold', async () => {
  const output = path.join(root, 'out.gguf');
  const message = /^--schemes affine3,affine4,affine5-g64: a GGUF file cannot hold affine3-g16$/;
  const refused = ['unsupported', 'SCHEME_NOT_IN_GGUF'] as const;
  await expectFailure(() => runJob(quantize({ ...small, output })), ...refused, message);
  const locked = { ...small, schemes: undefined, output };
  await expectFailure(() => runJob(quantize(locked)), ...refused, /^lock 'attn_v=int8': .* hold int8$/);
  const { model, importanceMatrix } = small;
  const given = { model, home, importanceMatrix, planFile: file, output };
  await expectFailure(
    () => runJob(quantize(given)),
    ...refused,
    /^plan file, line \d+: [\w.]+: .* hold affine/,
  );
  const types = { ...small, tensorTypeFile: path.join(root, 'types.txt') };
  await expectFailure(() => runJob(plan(types)), ...refused);
  expect((await readdir(root)).toSorted()).toEqual(['home', 'plan.yaml']);
});

test('schemes are refused that are unknown, of no use, or beside a plan file', async () => {
  const planned = (schemes: readonly string[]) => () => runJob(plan({ ...small, locks: [], schemes }));
  await expectFailure(planned(['affine7']), 'plan', 'SCHEME_UNKNOWN', /found "affine7"/);
  await expectFailure(planned(['F32']), 'plan', 'SCHEMES_NONE_LEGAL', /found F32/);
  const { model, schemes } = small;
  const beside = () => runJob(plan({ model, home, planFile: file, schemes }));
  await expectFailure(beside, 'arguments', 'SCHEMES_BESIDE_PLAN');
});
