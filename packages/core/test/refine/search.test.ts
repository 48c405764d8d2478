import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { plan } from '../../src/jobs/plan.js';
import type { PlanOptions } from '../../src/jobs/plan-options.js';
import type { RunEvent } from '../../src/run/events.js';
import type { SearchOptions } from '../../src/refine/search.js';
import { expectFailure } from '../support/errors.js';
import { golden, orator, runJob } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

const root = await temporaryFolder();

/** Block 0 alone is free; prices come from names, so that there is something to gain. */
const small = {
  model: orator,
  size: 15_830_000,
  locks: [String.raw`blk\.[1-7]\.=keep`, 'output=keep', 'token_embd=keep'],
  schemes: ['Q2_K', 'Q3_K', 'Q4_K', 'Q6_K'],
  method: 'rules',
  encoder: 'nearest',
  contextTokens: 32,
  importanceMatrix: path.join(golden, 'orator-8m.imatrix.gguf'),
  floorTokens: 64,
  threads: 1,
} as const satisfies PlanOptions;

const evolution = {
  search: 'evolve',
  searchTokens: 8192,
  evolve: { population: 4, generations: 2 },
} as const satisfies SearchOptions;

function searched(home: string, options: SearchOptions & Pick<PlanOptions, 'signal'>) {
  return runJob(plan({ ...small, ...options, home: path.join(root, home) }));
}

/** Losses that the engine measured: those read from the store stand in the first event of each gathering. */
function measurements(events: readonly RunEvent[]): number {
  let count = 0;
  let last: number | null = null;
  for (const event of events) {
    if (event.type !== 'progress' || event.unit !== 'measurements') continue;
    if (last !== null) count += event.done - last;
    last = event.done === event.total ? null : event.done;
  }
  return count;
}

describe('evolution on the live model', () => {
  let reference: Awaited<ReturnType<typeof searched>>;
  beforeAll(async () => {
    reference = await searched('straight', evolution);
  }, 60_000);

  test('keeps to the budget, counts what it costs, and goes on after an interruption as if there had been none', async () => {
    const { result: straight, events } = reference;
    expect(straight.predicted.bytes).toBeLessThanOrEqual(small.size);
    const record = straight.search!;
    if (record.search !== 'evolve') throw new Error('another search');
    expect(record.tokens).toBeLessThanOrEqual(evolution.searchTokens);
    expect(record.history.map(({ generation }) => generation)).toEqual([0, 1, 2]);
    expect(record.history.at(-1)!.tokens).toBeLessThanOrEqual(record.tokens);
    if (record.verdict.found !== null) expect(record.verdict.fresh).toBe(true);
    const changed = straight.tensors.filter(({ decidedBy }) => decidedBy.kind === 'search');
    expect(changed.length > 0).toBe(record.verdict.taken === 'search');

    const stop = new AbortController();
    let measured = 0;
    const work = plan({ ...small, ...evolution, home: path.join(root, 'broken'), signal: stop.signal });
    const broken = runJob(work, (event) => {
      if (event.type !== 'progress' || event.unit !== 'measurements') return;
      if (event.item === 'generation 2' && measured++ === 3) stop.abort();
    });
    await expect(broken).rejects.toThrow();
    const again = await searched('broken', evolution);
    expect(again.result).toEqual(straight);
    expect(measurements(again.events)).toBeGreaterThan(0);
    expect(measurements(again.events)).toBeLessThan(measurements(events));
  });

  test('draws other plans by another seed', async () => {
    const other = await runJob(plan({ ...small, ...evolution, seed: 2, home: path.join(root, 'straight') }));
    expect(other.result.search).not.toEqual(reference.result.search);
  });
});

test('a gradual descent on the live model reports its path, and ends within the budget', async () => {
  const { result } = await searched('straight', { search: 'gradual', searchTokens: 8192 });
  expect(result.predicted.bytes).toBeLessThanOrEqual(small.size);
  const record = result.search!;
  if (record.search !== 'gradual') throw new Error('another search');
  const descent = record.path.filter(({ phase }) => phase === 'descent');
  expect(descent[0]).toMatchObject({ stage: 'block 0', bits: 4, rounding: 'plain' });
  expect(new Set(descent.map(({ outcome }) => outcome))).toContain('accepted');
  for (const step of record.path) expect(step.klNats).toBeGreaterThan(0);
  expect(record.tokens).toBeLessThanOrEqual(9000);
  expect(record.quantizationReport.accepted).toBe(record.path.length - record.quantizationReport.rolledBack);
  const { afterBytes } = record.memoryAnalysis;
  expect(afterBytes).toBe(result.tensors.reduce((sum, { bytes }) => sum + bytes, 0));
});

test('a gradual descent takes a limit of loss, and what it ends with holds it', async () => {
  const { size: _, method: __, ...free } = small;
  const { result } = await runJob(
    plan({
      ...free,
      search: 'gradual',
      schemes: ['Q2_K', 'Q4_K'],
      maxKl: 0.004,
      samples: 2,
      qualityTokens: 256,
      searchTokens: 4096,
      home: path.join(root, 'limit'),
    }),
  );
  const record = result.search!;
  if (record.search !== 'gradual') throw new Error('another search');
  const { limit, seeds, tokens } = record.verdict;
  expect(tokens).toBe(256);
  expect(limit?.allowedNats).toBe(0.004);
  expect(seeds[0].klNats).toBeLessThanOrEqual(0.004);
  // The descent may lose twice what the limit is on the text of its steps, and no more.
  const granted = record.path.flatMap(({ phase, allowedNats }) => (phase === 'descent' ? allowedNats! : []));
  expect(granted.at(-1)! / Math.max(...granted)).toBe(1);
  expect(record.path.some(({ phase }) => phase === 'upgrade')).toBe(true);
  expect(result.quality!.klNats.value).toBeLessThanOrEqual(0.004);
  expect(result.predicted.bytes).toBe(result.quality!.bytes);
  expect(result.budget.bytes).toBe(result.predicted.bytes);
});

test.each([
  [
    { search: 'random' as 'evolve' },
    'SEARCH_UNKNOWN',
    /expected none, evolve, gradual as the search, found 'random'$/,
  ],
  [{ searchTokens: 5 }, 'SEARCH_MISSING', /beside --search-tokens 5, found none$/],
  [{ search: 'evolve', searchTokens: 0 } as const, 'SEARCH_INVALID', /found 0$/],
])('%j is refused before the model is opened', async (options, code, message) => {
  await expectFailure(() => searched('refused', options), 'arguments', code, message);
});
