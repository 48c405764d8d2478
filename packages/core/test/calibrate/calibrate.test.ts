import { readFile } from 'node:fs/promises';
import { MemorySource, readAnyImatrix } from '@bitsmith/formats';
import { expect, test } from 'vitest';
import { calibrate } from '../../src/calibrate/calibrate.js';
import { openModel } from '../../src/model/open.js';
import { inRun } from '../../src/run/context.js';
import { loadCorpus } from '../../src/text/corpus.js';
import { firstChunks, tokenizeTexts } from '../../src/text/tokenize.js';
import { orator, runJob } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

const home = await temporaryFolder();

/** Calibrates on two chunks of the bundled text, called `name`. */
async function measureAs(name: string) {
  const work = inRun({ home, threads: 1 }, async function* (run) {
    const { calibration } = await loadCorpus();
    const model = yield* openModel(orator, { store: run.store });
    const [text] = await tokenizeTexts(run, model, [{ ...calibration, name }], 32);
    return yield* calibrate(run, model, firstChunks(text, 64));
  });
  const { result, events } = await runJob(work);
  const { datasets } = await readAnyImatrix(new MemorySource(await readFile(result.path)));
  const cached = events.some(
    (event) => event.type === 'stage-end' && event.stage === 'calibrate' && event.cached,
  );
  return { ...result, datasets, cached };
}

test('the same words under another name make the file that they make on a fresh store', async () => {
  const first = await measureAs('one.txt');
  const second = await measureAs('two.txt');
  expect(first.datasets).toEqual(['one.txt']);
  expect(second.datasets).toEqual(['two.txt']);
  expect(second.sha256).not.toBe(first.sha256);
  expect(await measureAs('one.txt')).toEqual({ ...first, cached: true });
});
