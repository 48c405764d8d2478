import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { evaluateActivations } from '../../src/jobs/evaluate-int8.js';
import { plan } from '../../src/jobs/plan.js';
import { quantize } from '../../src/jobs/quantize.js';
import { openModel } from '../../src/model/open.js';
import { inRun } from '../../src/run/context.js';
import { expectFailure } from '../support/errors.js';
import { orator, runJob } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

const home = await temporaryFolder();
const small = { model: orator, home, contextTokens: 32, calibrationTokens: 512, threads: 2 } as const;

test('a file of the equalized model is held against the model that the user named', async () => {
  const { result: source } = await runJob(
    inRun({ home, threads: 1 }, (run) => openModel(orator, { store: run.store })),
  );
  const output = path.join(home, 'equalized.gguf');
  const options = {
    ...small,
    preset: 'Q8_0',
    encoder: 'nearest',
    equalize: '0.5',
    output,
    verifyTokens: 256,
  } as const;
  const { result } = await runJob(quantize(options));
  expect(result.source.sha256).toBe(source.sha256);
  expect(result.plan.source.sha256).toBe(source.sha256);
  expect(result.compressionRatio).toBeCloseTo(source.byteLength / result.output.byteLength, 10);
  expect(result.evaluation?.klNats.mean.value).toBeLessThan(0.001);
  expect(result.equalization?.mode).toEqual({ kind: 'alpha', alpha: 0.5 });
  expect(result.equalization?.sites).toHaveLength(4 * 8);
});

test('a model is computed in 8 bits, activations included, with scales calibrated on its equalized inputs', async () => {
  const job = evaluateActivations({ ...small, activationScales: 'static', equalize: 0.5, tokens: 64 });
  const { evaluation, equalization, activationScales } = (await runJob(job)).result;
  expect(activationScales).toBe('static');
  expect(equalization?.sites).toHaveLength(4 * 8);
  expect(evaluation.positions).toBe(2 * 15);
  expect(evaluation.klNats.mean.value).toBeGreaterThan(1e-4);
  expect(evaluation.klNats.mean.value).toBeLessThan(0.03);
});

describe('what is refused', () => {
  test.each(['1.5', '-0.1', 'most', '', 'NaN'])('an alpha of %j', (equalize) =>
    expectFailure(
      () => runJob(plan({ ...small, bitsPerWeight: 4, equalize })),
      'equalization',
      'ALPHA_INVALID',
    ),
  );

  test('an importance matrix of the model as it was', () =>
    expectFailure(
      () => runJob(plan({ ...small, bitsPerWeight: 4, equalize: 0.5, importanceMatrix: 'any.gguf' })),
      'equalization',
      'EQUALIZE_WITH_IMATRIX',
    ));
});
