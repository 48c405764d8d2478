import { cp, mkdir, symlink } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { analyze } from '../../src/jobs/analyze.js';
import { convert } from '../../src/jobs/convert.js';
import { plan } from '../../src/jobs/plan.js';
import { quantize } from '../../src/jobs/quantize.js';
import type { Work } from '../../src/run/events.js';
import { orator, runJob, snapshot } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

const root = await temporaryFolder();
const home = path.join(root, 'home');
const models = path.join(root, 'models');
const folder = path.join(models, 'orator');
const gguf = path.join(models, 'orator.gguf');
const link = path.join(models, 'link.gguf');
const weights = path.join(folder, 'model.safetensors');
const common = { home, threads: 1 };

beforeAll(async () => {
  await cp(orator, folder, { recursive: true });
  await runJob(convert({ ...common, model: folder, output: gguf }));
  await symlink(gguf, link);
});

const overSource: readonly [string, () => Work<unknown>][] = [
  ['quantize', () => quantize({ ...common, model: gguf, bitsPerWeight: 4, output: gguf })],
  ['quantize through a link', () => quantize({ ...common, model: gguf, bitsPerWeight: 4, output: link })],
  ['quantize of a folder', () => quantize({ ...common, model: folder, bitsPerWeight: 4, output: weights })],
  ['a plan file', () => plan({ ...common, model: gguf, bitsPerWeight: 4, savePlan: gguf })],
  [
    'a tensor type file',
    () =>
      plan({
        ...common,
        model: folder,
        bitsPerWeight: 4,
        tensorTypeFile: path.join(folder, 'config.json'),
      }),
  ],
  ['analyze', () => analyze({ ...common, model: gguf, output: gguf })],
  ['convert of a folder', () => convert({ ...common, model: folder, output: weights })],
  ['convert of a GGUF', () => convert({ ...common, model: gguf, output: gguf })],
];

describe('an output over the source is refused before any work, and the source stays:', () => {
  test.each(overSource)('%s', async (_, work) => {
    const before = await snapshot(models);
    const stages: string[] = [];
    const run = runJob(work(), (event) => event.type === 'stage-start' && stages.push(event.stage));
    await expect(run).rejects.toMatchObject({ kind: 'arguments', code: 'OUTPUT_IS_SOURCE' });
    expect(stages).toEqual([]);
    expect(await snapshot(models)).toEqual(before);
  });
});

test('an output that is a folder is refused before any work', async () => {
  const output = path.join(root, 'folder.gguf');
  await mkdir(output);
  const run = runJob(quantize({ ...common, model: gguf, bitsPerWeight: 4, output }));
  await expect(run).rejects.toMatchObject({ code: 'FILE_IS_FOLDER' });
});
