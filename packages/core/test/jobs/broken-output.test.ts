import { closeSync, fstatSync, openSync, readdirSync, writeSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { quantize } from '../../src/jobs/quantize.js';
import { runJob } from '../support/jobs.js';
import { smallRun } from '../support/small-run.js';
import { temporaryFolder } from '../support/temporary.js';

const home = await temporaryFolder();
const output = path.join(home, 'small.gguf');
const work = path.join(home, 'work');
const options = { ...smallRun, home, output, verify: false };

/** Other bytes at the end of the written file, where a tensor lies that is kept as it is. */
function damage(): void {
  const name = readdirSync(work).find((file) => file.endsWith('.gguf')) as string;
  const handle = openSync(path.join(work, name), 'r+');
  writeSync(handle, new Uint8Array(64).fill(0x5a), 0, 64, fstatSync(handle).size - 64);
  closeSync(handle);
}

test(
  'a file that the disk changed is not published, and the next run makes it anew',
  { timeout: 300_000 },
  async () => {
    const run = runJob(quantize(options), (event) => {
      if (event.type === 'stage-end' && event.stage === 'encode') damage();
    });
    await expect(run).rejects.toMatchObject({ kind: 'validation', code: 'OUTPUT_BROKEN' });
    expect(await readdir(home)).not.toContain('small.gguf');
    expect(await readdir(work)).toEqual([]);
    const { result } = await runJob(quantize(options));
    expect(result.output.path).toBe(output);
  },
);
