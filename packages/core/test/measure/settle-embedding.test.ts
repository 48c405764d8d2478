import path from 'node:path';
import { expect, test } from 'vitest';
import { adoptCalibration } from '../../src/calibrate/calibrate.js';
import { measureVariants } from '../../src/measure/live/variants.js';
import { settleEmbedding } from '../../src/measure/settle-embedding.js';
import { openModel } from '../../src/model/open.js';
import type { TensorMeasurement } from '../../src/plan/price.js';
import { inRun } from '../../src/run/context.js';
import { loadCorpus } from '../../src/text/corpus.js';
import { firstChunks, tokenizeTexts } from '../../src/text/tokenize.js';
import { golden, orator, runJob } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

test('whatever plans would store the embedding as costs what was measured, until they use nothing else', async () => {
  const home = path.join(await temporaryFolder(), 'home');
  const work = inRun({ home, threads: 1 }, async function* (run) {
    const model = yield* openModel(orator, { store: run.store });
    const calibration = yield* adoptCalibration(run, model, path.join(golden, 'orator-8m.imatrix.gguf'));
    const corpus = await loadCorpus();
    const [whole] = await tokenizeTexts(run, model, [corpus.search], 32);
    const live = { run, model, calibration, text: firstChunks(whole, 128) };
    const tensor = model.tensors.find(({ role }) => role === 'embedding');
    const other = model.tensors.find(({ role }) => role === 'mlp-down');
    if (tensor === undefined || other === undefined) throw new Error('the model has neither');
    // Prices that tempt: one bit for nearly nothing, two for little.
    const tempting = new Map([
      ['Q1_0', 1e-4],
      ['Q2_0', 2e-4],
      ['Q8_0', 3e-4],
    ]);
    const begun: TensorMeasurement[] = [tensor, other].map((each) => ({
      tensor: each,
      errors: tempting,
      inNats: true,
      probe: null,
    }));
    const asked: string[] = [];
    const settled = yield* settleEmbedding(live, tensor, begun, ([{ errors }]) => {
      const [scheme, klNats] = [...errors].toSorted((a, b) => a[1] - b[1])[0];
      asked.push(scheme);
      return [{ scheme, klNats, bytes: 0 }];
    });
    const losses = yield* measureVariants(
      run,
      model,
      calibration,
      live.text,
      asked
        .map((scheme) => ({
          id: `${scheme} ${asked.indexOf(scheme)}`,
          changes: [{ tensor: tensor.name, change: { kind: 'scheme', scheme: scheme as 'Q8_0' } as const }],
        }))
        .filter(({ id }, index, all) => all.findIndex((each) => each.id === id) === index),
    );
    return { settled, asked, losses, tempting };
  });
  const { result, events } = await runJob(work);
  const { settled, asked, losses, tempting } = result;
  // One after the other turns out to cost more, except the last, which is asked for again and stays.
  expect(new Set(asked)).toEqual(new Set(['Q1_0', 'Q2_0', 'Q8_0']));
  expect(asked.at(-1)).toBe('Q8_0');
  for (const scheme of ['Q1_0', 'Q2_0', 'Q8_0']) {
    const loss = losses.get(`${scheme} ${asked.indexOf(scheme)}`);
    if (loss === undefined) throw new Error(`no loss of ${scheme}`);
    expect(settled[0].errors.get(scheme)).toBeCloseTo(loss.klNats, 12);
  }
  expect(settled[0].errors.get('Q1_0')).toBeGreaterThan(0.01);
  expect(settled[1].errors).toBe(tempting);
  const summary = events.flatMap((event) => (event.type === 'stage-end' ? [event.summary] : []));
  expect(summary.some((text) => /^embedding in 3 schemes; Q[12]_0 [\d.]+ nats, priced/.test(text))).toBe(
    true,
  );
}, 60_000);
