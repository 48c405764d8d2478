import { expect, test } from 'vitest';
import { plan } from '../../src/jobs/plan.js';
import { orator, runJob } from '../support/jobs.js';
import { smallRun } from '../support/small-run.js';
import { temporaryFolder } from '../support/temporary.js';

test('the embedding costs what it was measured to cost in the scheme that the plan gives it', async () => {
  const home = await temporaryFolder();
  const locks = [String.raw`^blk\.|^output=keep`];
  // With all else kept, room for the embedding in about a bit and a half.
  const options = {
    ...smallRun,
    model: orator,
    home,
    locks,
    size: 15_050_000,
    samples: 4,
    method: 'gradient' as const,
  };
  const { result, events } = await runJob(plan(options));
  const summary = events
    .flatMap((event) => (event.type === 'stage-end' ? [event.summary] : []))
    .find((text) => text.includes('priced'));
  const embedding = result.tensors.find(({ tensor }) => tensor === 'token_embd.weight');
  const told = new RegExp(`${embedding?.scheme} ([\\d.e-]+) nats, priced ([\\d.e-]+)`).exec(summary ?? '');
  const [loss, price] = [Number(told?.[1]), Number(told?.[2])];
  expect(loss).toBeGreaterThan(0);
  expect(embedding?.klNats).toBeGreaterThan(0.98 * Math.min(loss, price));
  expect(embedding?.klNats).toBeLessThan(1.02 * Math.max(loss, price));
  // A second plan finds all of it in the store.
  const again = await runJob(plan(options));
  expect(again.result.hash).toBe(result.hash);
  expect(again.events).toContainEqual(expect.objectContaining({ type: 'stage-end', cached: true, summary }));
}, 60_000);
