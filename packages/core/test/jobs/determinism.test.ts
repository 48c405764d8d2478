import { readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { quantize } from '../../src/jobs/quantize.js';
import { hashOf, runJob } from '../support/jobs.js';
import { writeShortModel } from '../support/short-model.js';
import { smallRun } from '../support/small-run.js';
import { temporaryFolder } from '../support/temporary.js';

const root = await temporaryFolder();
const model = path.join(root, 'short-model');
await writeShortModel(model);

/** One run, and everything that must be the same of it. */
async function run(name: string, home: string, threads: number) {
  const output = path.join(root, `${name}.gguf`);
  const savePlan = path.join(root, `${name}.yaml`);
  const { result, events } = await runJob(
    quantize({
      ...smallRun,
      model,
      size: 6_370_000,
      locks: [String.raw`blk\.1\.|output\.weight|token_embd=keep`],
      encoder: 'feedback+refit',
      schemes: ['Q2_K', 'IQ3_S', 'IQ4_XS', 'Q5_0'],
      samples: 4,
      home: path.join(root, home),
      output,
      savePlan,
      threads,
    }),
  );
  const same = {
    file: await hashOf(output),
    plan: await readFile(savePlan, 'utf8'),
    planHash: result.plan.hash,
    planned: result.plan,
    evaluation: { ...result.evaluation, sample: null },
  };
  return { same, result, events };
}

test(
  'the same file and plan from one thread, from two, and from the store',
  { timeout: 300_000 },
  async ({ skip }) => {
    const first = await run('one', 'one', 1);
    const again = await run('again', 'one', 1);
    expect(again.same).toEqual(first.same);
    const cached = again.events.flatMap((event) =>
      event.type === 'stage-end' && event.cached ? [event.stage] : [],
    );
    expect(cached).toEqual(['calibrate', 'calibrate', 'measure', 'refine']);
    expect(first.result.output.byteLength).toBe(first.result.plan.predicted.bytes);
    if (os.availableParallelism() < 2) skip('this machine has one core');
    const two = await run('two', 'two', 2);
    expect(two.same).toEqual(first.same);
  },
);
