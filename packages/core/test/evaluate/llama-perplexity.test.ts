import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { evaluate } from '../../src/jobs/evaluate.js';
import { quantize } from '../../src/jobs/quantize.js';
import type { Evaluation } from '../../src/evaluate/types.js';
import { golden, goldenPlan, orator, runJob } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

/** Numbers of `llama-perplexity --kl-divergence`; the golden folder's README says how they were made. */
interface Peer {
  readonly source: { readonly perplexity: number; readonly standardError: number };
  readonly output: { readonly perplexity: number; readonly standardError: number };
  readonly logPerplexityRatio: { readonly value: number; readonly standardError: number };
  readonly klNats: Readonly<Record<'mean' | 'standardError' | 'max' | 'p999' | 'p99' | 'median', number>>;
  readonly rmsDeltaPPercent: { readonly value: number; readonly standardError: number };
  readonly sameTopPercent: { readonly value: number; readonly standardError: number };
}

const home = await temporaryFolder();
const peer = JSON.parse(await readFile(path.join(golden, 'perplexity.json'), 'utf8')) as Peer;

function expectWithin(found: number, expected: number, relative: number): void {
  expect(Math.abs(found / expected - 1)).toBeLessThan(relative);
}

describe('a written file has the numbers of llama-perplexity --kl-divergence', () => {
  let ours: Evaluation;

  beforeAll(async () => {
    const output = path.join(home, 'q4.gguf');
    await runJob(
      quantize({
        model: orator,
        planFile: await goldenPlan('q4-plan.yaml', home),
        importanceMatrix: path.join(golden, 'orator-8m.imatrix.gguf'),
        encoder: 'nearest',
        output,
        home,
        threads: 1,
        verify: false,
      }),
    );
    const { result } = await runJob(
      evaluate({ source: orator, output, contextTokens: 256, tokens: 24 * 256, home, threads: 1 }),
    );
    ours = result.evaluation;
  }, 300_000);

  test('on the same positions: the second half of every chunk but its last token', () => {
    expect(ours.positions).toBe(24 * 127);
    expect(ours.evidence).toBe('measured');
  });

  test('the perplexity of the source, to the printed digits', () => {
    expectWithin(ours.source.perplexity.value, peer.source.perplexity, 1e-5);
    expectWithin(ours.source.perplexity.standardError, peer.source.standardError, 1e-5);
  });

  test('the perplexity of the file, and ln of their ratio', () => {
    expectWithin(ours.output.perplexity.value, peer.output.perplexity, 1e-3);
    expectWithin(ours.output.perplexity.standardError, peer.output.standardError, 2e-3);
    expect(Math.abs(ours.logPerplexityRatio.value - peer.logPerplexityRatio.value)).toBeLessThan(5e-4);
    expectWithin(ours.logPerplexityRatio.standardError, peer.logPerplexityRatio.standardError, 0.02);
  });

  test('the mean KL within 1 %', () => {
    expectWithin(ours.klNats.mean.value, peer.klNats.mean, 0.01);
    expectWithin(ours.klNats.mean.standardError, peer.klNats.standardError, 0.05);
  });

  test('its quantiles', () => {
    expectWithin(ours.klNats.median, peer.klNats.median, 0.01);
    expectWithin(ours.klNats.p99, peer.klNats.p99, 0.12);
    expectWithin(ours.klNats.p999, peer.klNats.p999, 0.12);
    expectWithin(ours.klNats.max, peer.klNats.max, 0.3);
  });

  test('the same top token, and RMS delta p', () => {
    expect(Math.abs(100 * ours.sameTopToken.value - peer.sameTopPercent.value)).toBeLessThan(0.4);
    expectWithin(100 * ours.sameTopToken.standardError, peer.sameTopPercent.standardError, 0.05);
    expectWithin(100 * ours.rmsDeltaP.value, peer.rmsDeltaPPercent.value, 0.02);
    expectWithin(100 * ours.rmsDeltaP.standardError, peer.rmsDeltaPPercent.standardError, 0.1);
  });

  test('a file against itself loses nothing', async () => {
    const { result } = await runJob(
      evaluate({ source: orator, output: orator, contextTokens: 256, tokens: 512, home, threads: 1 }),
    );
    expect(result.evaluation.klNats.max).toBeLessThan(1e-9);
    expect(result.evaluation.sameTopToken.value).toBe(1);
    expect(result.evaluation.logPerplexityRatio.value).toBe(0);
  });
});
