import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { plan } from '../../src/jobs/plan.js';
import { quantize, type QuantizeOptions } from '../../src/jobs/quantize.js';
import { runJob } from '../support/jobs.js';
import { places, smallRun } from '../support/small-run.js';

const fresh = await places();
const { size: _size, ...small } = smallRun;
/** Without schemes whose tables take the engine seconds to build. */
const quick = { ...small, schemes: ['k-quants'], qualityTokens: 64, floorTokens: 64, samples: 2 } as const;
const { home, output } = await fresh();

const made = async (options: Partial<QuantizeOptions>) =>
  (await runJob(quantize({ ...quick, home, output, ...options }))).result;

describe('limits of loss, end to end', () => {
  it('are met by the file, and the record says how', { timeout: 120_000 }, async () => {
    const savePlan = path.join(home, 'plan.yaml');
    const result = await made({ maxKl: 0.05, maxPerplexityIncrease: 30, savePlan });
    const { quality, evaluation, output: file, plan: chosen } = result;
    expect(evaluation?.klNats.mean.value).toBeLessThanOrEqual(0.05);
    expect(Math.exp(evaluation?.logPerplexityRatio.value ?? 1)).toBeLessThanOrEqual(1.3);
    expect(quality?.verdicts.map(({ kind, met }) => [kind, met])).toEqual([
      ['kl', true],
      ['perplexity', true],
    ]);
    expect(quality?.verdicts[0].measured).toEqual(evaluation?.klNats.mean);
    expect(await readFile(savePlan, 'utf8')).toContain(chosen.hash);
    expect(quality?.files.map(({ planHash }) => planHash)).toContain(chosen.hash);
    // Two chunks of the search text are not like the report text: the plan is made again.
    expect(quality?.files.length).toBeGreaterThan(1);
    expect(quality?.search).toMatchObject({ tokens: 64, evidence: 'measured' });
    expect(quality?.search?.klNats.value).toBeGreaterThan(0);
    expect((await stat(file.path)).size).toBe(chosen.predicted.bytes);
    expect(chosen.budget.request).toBe(
      "a KL of at most 0.05 nats per token and a perplexity at most 30 % above the source's",
    );
    // A looser limit makes a smaller file.
    const { result: looser } = await runJob(plan({ ...quick, home, maxKl: 0.1 }));
    expect(looser.predicted.bytes).toBeLessThan(file.byteLength);
    expect(looser.quality?.klNats.value).toBeLessThanOrEqual(0.1);
  });

  it('are refused with the nearest where a size leaves no room', { timeout: 60_000 }, async () => {
    const work = plan({ ...quick, home, maxKl: 1e-6, size: 13_000_000 });
    await expect(runJob(work)).rejects.toMatchObject({
      kind: 'budget-impossible',
      code: 'QUALITY_IMPOSSIBLE',
      exitCode: 17,
      message: expect.stringMatching(
        /a KL of at most 0.000001 nats per token and size 13000000 \(13,000,000 bytes \(13.0 MB\)\) cannot both be had/,
      ),
    });
  });

  it('hold for every tensor where they are of weights', { timeout: 60_000 }, async () => {
    const result = await made({ minCosine: 0.99, verify: false });
    expect(result.leastCosine.value).toBeGreaterThanOrEqual(0.99);
    expect(result.leastCosine.value).toBeLessThan(0.9999);
    expect(result.quality?.verdicts).toMatchObject([{ kind: 'cosine', limit: 0.99, met: true }]);
    const { result: all } = await runJob(plan({ ...quick, home, minCosine: 1 }));
    expect(new Set(all.tensors.map(({ scheme }) => scheme))).toEqual(new Set(['BF16', 'F32']));
  });

  it('name the tensor whose lock they contradict', { timeout: 60_000 }, async () => {
    const locks = [...smallRun.locks, String.raw`blk\.0\.ffn_down=Q2_K`];
    await expect(runJob(plan({ ...quick, home, locks, minCosine: 0.999 }))).rejects.toMatchObject({
      kind: 'budget-impossible',
      code: 'QUALITY_IMPOSSIBLE',
      message: expect.stringContaining('for blk.0.ffn_down.weight, found'),
      suggestion: 'Loosen its lock, or the limit.',
    });
  });
});

describe('memory, end to end', () => {
  it('leaves room for the context', { timeout: 60_000 }, async () => {
    const room = { ...quick, home, method: 'rules', memory: '32MB', context: 2048 } as const;
    const { result } = await runJob(plan(room));
    // 8 layers of 2 heads of 64 numbers, keys and values in half precision, 2,048 tokens.
    const cache = 8 * 2 * 2 * 64 * 2 * 2048;
    const weights = result.tensors.reduce((sum, { bytes }) => sum + bytes, 0);
    expect(weights + cache).toBeLessThan(32e6);
    const half = await runJob(plan({ ...room, keyValueType: 'Q8_0' }));
    expect(result.budget.memory).toMatchObject({ contextTokens: 2048, cacheBytes: cache });
    expect(half.result.budget.bytes).toBeGreaterThan(result.budget.bytes + 0.4 * cache);
  });

  it('that is too little is refused before anything is measured', async () => {
    const events: string[] = [];
    const work = plan({ ...quick, home, memory: '5MB', context: 100_000 });
    await expect(runJob(work, (event) => events.push(event.type))).rejects.toMatchObject({
      kind: 'budget-impossible',
      code: 'BUDGET_IMPOSSIBLE',
      message: expect.stringContaining('of keys and values'),
      suggestion: expect.stringMatching(/^Ask for at least --memory \d+, a shorter --context, or/),
    });
    expect(events).not.toContain('progress');
  });
});

describe('bad wishes', () => {
  it.each<[Partial<QuantizeOptions>, string]>([
    [{ maxKl: 0 }, 'QUALITY_MALFORMED'],
    [{ maxKl: -1 }, 'QUALITY_MALFORMED'],
    [{ maxKl: Number.NaN }, 'QUALITY_MALFORMED'],
    [{ maxPerplexityIncrease: '5 nats' }, 'QUALITY_MALFORMED'],
    [{ minCosine: 2 }, 'QUALITY_MALFORMED'],
    [{ memory: '1 parsec', context: 512 }, 'BUDGET_MALFORMED'],
    [{ memory: '1GB' }, 'BUDGET_MALFORMED'],
    [{ context: 512, size: '5MB' }, 'BUDGET_MALFORMED'],
    [{ maxKl: 0.01, verify: false }, 'QUALITY_UNCONFIRMED'],
    [{ maxKl: 0.01, planFile: 'plan.yaml' }, 'BUDGET_BESIDE_PLAN'],
    [{ memory: '1GB', context: 512, planFile: 'plan.yaml' }, 'BUDGET_BESIDE_PLAN'],
    [{}, 'BUDGET_MISSING'],
  ])('%o is refused before the model is opened', async (options, code) => {
    const bare = { ...small, home, output, model: '/nowhere/model.gguf' };
    const work = quantize({ ...bare, ...options });
    await expect(runJob(work)).rejects.toMatchObject({ kind: 'arguments', code });
  });
});
