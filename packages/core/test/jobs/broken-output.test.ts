import { closeSync, fstatSync, openSync, readdirSync, writeSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { quantize } from '../../src/jobs/quantize.js';
import { runJob } from '../support/jobs.js';
import { writeShortModel } from '../support/short-model.js';
import { leanRun } from '../support/small-run.js';
import { temporaryFolder } from '../support/temporary.js';

const home = await temporaryFolder();
const output = path.join(home, 'small.gguf');
const work = path.join(home, 'work');
const model = path.join(home, 'short-model');
await writeShortModel(model);
const options = { ...leanRun, model, home, output, verify: false };

/** Overwrites the data of the written file from `start`, a share of its length, to the end. */
function damage(start: number, byte: number): void {
  const name = readdirSync(work).find((file) => file.endsWith('.gguf')) as string;
  const handle = openSync(path.join(work, name), 'r+');
  const { size } = fstatSync(handle);
  const from = Math.floor(size * start);
  writeSync(handle, new Uint8Array(size - from).fill(byte), 0, size - from, from);
  closeSync(handle);
}

const damages = [
  // A tensor that is kept as it is lies at the very end.
  { name: 'other bytes', start: 0.9999, byte: 0x5a },
  { name: 'zeros, as of blocks that never reached the disk', start: 0.5, byte: 0 },
];

test.each(damages)(
  'a file that the disk changed ($name) is not published, and the next run makes it anew',
  { timeout: 300_000 },
  async ({ start, byte }) => {
    const run = runJob(quantize(options), (event) => {
      if (event.type === 'stage-end' && event.stage === 'encode') damage(start, byte);
    });
    await expect(run).rejects.toMatchObject({ kind: 'validation', code: 'OUTPUT_BROKEN' });
    expect(await readdir(home)).not.toContain('small.gguf');
    expect(await readdir(work)).toEqual([]);
    const { result } = await runJob(quantize(options));
    expect(result.output.path).toBe(output);
    await rm(output);
  },
);
