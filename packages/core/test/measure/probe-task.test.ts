import path from 'node:path';
import { expect, test } from 'vitest';
import { cutIntoGroups, runProbe } from '../../src/measure/probe-task.js';
import { openModel } from '../../src/model/open.js';
import { inRun } from '../../src/run/context.js';
import { golden, orator, runJob } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

const home = await temporaryFolder();
const contextTokens = 16;
/** Chunks in one batch at this context; the vocabulary of 4,096 allows more. */
const batchChunks = 2048 / contextTokens;

/** Any tokens do: a probe compares a model with itself. */
function chunksOf(count: number, seed: number): Int32Array[] {
  return Array.from({ length: count }, (_, chunk) =>
    Int32Array.from(
      { length: contextTokens },
      (__, position) => (seed + chunk * 7919 + position * 104_729) % 4096,
    ),
  );
}

async function probe(
  names: readonly string[],
  chunks: readonly Int32Array[],
): Promise<Map<string, { klNats: number; standardError: number }>> {
  const work = inRun({ home, threads: 1 }, (run) => openModel(orator, { store: run.store }));
  const { ggufPath, files } = (await runJob(work)).result;
  const found = new Map<string, { klNats: number; standardError: number }>();
  await runProbe(
    {
      ggufPath,
      files: files.map((file) => file.path),
      importancePath: path.join(golden, 'orator-8m.imatrix.gguf'),
      contextTokens,
      chunks,
      tensors: names.map((name) => ({ name, scheme: 'Q3_K' })),
    },
    ({ tensor, klNats, standardError }) => found.set(tensor, { klNats, standardError }),
    { threads: 1, verbose: false },
  );
  return found;
}

test('a text of several batches has the mean of all its positions', async () => {
  const names = ['blk.0.ffn_down.weight', 'output.weight'];
  const first = chunksOf(batchChunks, 1);
  const second = chunksOf(4, 5);
  const whole = await probe(names, [...first, ...second]);
  const parts = [await probe(names, first), await probe(names, second)];
  expect([...whole.keys()]).toEqual(names);
  for (const name of names) {
    const [one, other] = parts.map((found) => found.get(name)?.klNats ?? Number.NaN);
    const mean = (one * first.length + other * second.length) / (first.length + second.length);
    expect(mean).toBeGreaterThan(1e-5);
    expect(Math.abs((whole.get(name)?.klNats ?? 0) / mean - 1)).toBeLessThan(1e-4);
  }
}, 120_000);

test.each([
  [40, 1, [40]],
  [40, 2, [16, 16, 8]],
  [3, 2, [3]],
  [0, 1, []],
])('%i tensors and %i batches share baselines in groups of %j', (tensors, batches, sizes) => {
  const items = Array.from({ length: tensors }, (_, index) => index);
  const groups = cutIntoGroups(items, batches);
  expect(groups.map((group) => group.length)).toEqual(sizes);
  expect(groups.flat()).toEqual(items);
});
