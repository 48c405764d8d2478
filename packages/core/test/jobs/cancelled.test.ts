import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { quantize } from '../../src/jobs/quantize.js';
import type { RunEvent, Stage } from '../../src/run/events.js';
import { hashOf, runJob } from '../support/jobs.js';
import { childrenOf, isAlive } from '../support/processes.js';
import { leanRun, type Place, places } from '../support/small-run.js';

const freshPlace = await places();
let done: Place;
let reference: string;

/** Engines of this process: nothing else here starts children. */
const engines = (): number[] => childrenOf(process.pid).filter(isAlive);

const stages = ['convert', 'calibrate', 'measure', 'encode', 'verify'] as const satisfies Stage[];

beforeAll(async () => {
  done = await freshPlace();
  await runJob(quantize({ ...leanRun, ...done }));
  reference = await hashOf(done.output);
}, 300_000);

/** Where a stage is still to be done; what comes before it may be in the store. */
const placeBefore = (stage: Stage): Promise<Place> =>
  freshPlace(stage === 'encode' || stage === 'verify' ? done : undefined);

describe('an aborted run', () => {
  test.each(stages)(
    'in %s: ends with the reason, the engine gone, nothing written',
    { timeout: 120_000 },
    async (stage) => {
      const place = await placeBefore(stage);
      const controller = new AbortController();
      const reason = new Error(`enough of ${stage}`);
      const abort = (event: RunEvent): void => {
        if (event.type === 'stage-start' && event.stage === stage)
          setTimeout(() => controller.abort(reason), 20);
      };
      const job = quantize({ ...leanRun, ...place, signal: controller.signal });
      await expect(runJob(job, abort)).rejects.toBe(reason);
      expect(engines()).toEqual([]);
      expect(await readdir(path.dirname(place.output))).toEqual([]);
      // Runs that end anywhere continue to the same bytes: the tests that kill show it; here for the costliest stage.
      if (stage !== 'encode') return;
      await runJob(quantize({ ...leanRun, ...place }));
      expect(await hashOf(place.output)).toBe(reference);
    },
  );

  test('before it began: nothing is started', async () => {
    const place = await freshPlace();
    const reason = new Error('enough');
    const job = quantize({ ...leanRun, ...place, signal: AbortSignal.abort(reason) });
    await expect(runJob(job)).rejects.toBe(reason);
    expect(await readdir(path.dirname(place.home))).toEqual(['out']);
  });
});

test.each(stages)(
  'a reader that leaves in %s takes the engine along',
  { timeout: 120_000 },
  async (stage) => {
    const place = await placeBefore(stage);
    for await (const event of quantize({ ...leanRun, ...place })) {
      if (event.type === 'stage-start' && event.stage === stage) break;
    }
    // Work that lost its reader must not start an engine again, however it takes its end.
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(engines()).toEqual([]);
    expect(await readdir(path.dirname(place.output))).toEqual([]);
  },
);

test(
  'two runs at once on one store: the second is told who works there, or finds the work done',
  { timeout: 120_000 },
  async () => {
    const place = await freshPlace();
    const second = { ...place, output: path.join(path.dirname(place.output), 'second.gguf') };
    const outcomes = await Promise.allSettled(
      [place, second].map((each) => runJob(quantize({ ...leanRun, ...each }))),
    );
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'RUN_IN_PROGRESS' });
    }
    const written = await readdir(path.dirname(place.output));
    expect(written.length).toBe(outcomes.filter(({ status }) => status === 'fulfilled').length);
    expect(written.length).toBeGreaterThan(0);
    for (const name of written)
      expect(await hashOf(path.join(path.dirname(place.output), name))).toBe(reference);
  },
);
