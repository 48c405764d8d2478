import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type ImportanceMatrix, MemorySource, readAnyImatrix } from '@bitsmith/formats';
import { beforeAll, describe, expect, test } from 'vitest';
import { calibrate } from '../../src/calibrate/calibrate.js';
import { openModel } from '../../src/model/open.js';
import { inRun } from '../../src/run/context.js';
import { loadCorpus } from '../../src/text/corpus.js';
import { firstChunks, tokenizeTexts } from '../../src/text/tokenize.js';
import { golden, orator, runJob } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

const CHUNKS = 8;
const home = await temporaryFolder();

async function readMatrix(file: string): Promise<ImportanceMatrix> {
  return readAnyImatrix(new MemorySource(await readFile(file)));
}

/** Calibrates on the first chunks of the bundled calibration text. */
async function measureMatrix(folder: string) {
  return runJob(
    inRun({ home: folder, threads: 1 }, async function* (run) {
      const { calibration } = await loadCorpus();
      const model = yield* openModel(orator, { store: run.store });
      const [text] = await tokenizeTexts(run, model, [calibration], 256);
      const chosen = firstChunks(text, CHUNKS * 256);
      return { calibration: yield* calibrate(run, model, chosen), chunks: chosen.chunks };
    }),
  );
}

describe('the importance matrix is that of llama-imatrix --process-output on the same tokens', () => {
  let ours: ImportanceMatrix;
  let theirs: ImportanceMatrix;
  let chunks: readonly Int32Array[];

  beforeAll(async () => {
    const { result } = await measureMatrix(home);
    chunks = result.chunks;
    ours = await readMatrix(result.calibration.path);
    theirs = await readMatrix(path.join(golden, 'orator-8m.imatrix.gguf'));
  }, 300_000);

  test('the same entries, and one of equal weights for the embedding, which is only looked up', () => {
    const [mine, peer] = [ours, theirs].map(({ entries }) => [...entries.keys()]);
    expect(mine.filter((name) => !theirs.entries.has(name))).toEqual(['token_embd.weight']);
    expect(peer.filter((name) => !ours.entries.has(name))).toEqual([]);
    expect(peer).toHaveLength(57);
    expect(new Set(ours.entries.get('token_embd.weight')?.inSum2)).toEqual(new Set([1]));
  });

  test('the same counts', () => {
    for (const [name, { counts, columns, matrices }] of theirs.entries) {
      expect(ours.entries.get(name)).toMatchObject({ counts, columns, matrices });
      expect([...counts]).toEqual([CHUNKS * 256]);
    }
    expect(ours).toMatchObject({ chunkCount: theirs.chunkCount, chunkSize: theirs.chunkSize });
  });

  test('every sum within 1e-4, relative', () => {
    for (const [name, { inSum2 }] of theirs.entries) {
      const mine = ours.entries.get(name)?.inSum2 as Float32Array;
      let worst = 0;
      inSum2.forEach((value, i) => (worst = Math.max(worst, Math.abs(mine[i] - value) / value)));
      expect({ name, worst: worst < 1e-4 ? 'below 1e-4' : worst }).toEqual({ name, worst: 'below 1e-4' });
    }
  });

  test('and how often every embedding row was looked up', () => {
    const expected = new Float32Array(4096);
    for (const chunk of chunks) for (const token of chunk) expected[token]++;
    expect(ours.extra.get('token_embd.weight.row_counts')?.values).toEqual(expected);
    expect(expected.reduce((sum, value) => sum + value, 0)).toBe(CHUNKS * 256);
  });

  test('a second calibration finds it in the store, byte for byte', async () => {
    const { result, events } = await measureMatrix(home);
    expect(events.find(({ type }) => type === 'stage-end')).toMatchObject({
      stage: 'calibrate',
      cached: true,
    });
    expect(await readMatrix(result.calibration.path)).toEqual(ours);
  });
});
