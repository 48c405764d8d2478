import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { readGguf, tensorByteLength } from '@bitsmith/formats';
import { expect, test } from 'vitest';
import { quantize } from '../../src/jobs/quantize.js';
import { FileSource } from '../../src/io/file-source.js';
import { expectFailure } from '../support/errors.js';
import { orator, runJob } from '../support/jobs.js';
import { writeShortModel } from '../support/short-model.js';
import { temporaryFolder } from '../support/temporary.js';

const folder = await temporaryFolder();
const home = path.join(folder, 'home');

async function tensorsOf(file: string): Promise<Map<string, Buffer>> {
  const source = await FileSource.open(file);
  const { tensors } = await readGguf(source);
  await source.close();
  const bytes = await readFile(file);
  return new Map(
    tensors.map(({ name, type, shape, offset }) => [
      name,
      bytes.subarray(offset, offset + tensorByteLength(type, shape)),
    ]),
  );
}

/** Its feed-forward network; the rest stays as it is. */
const coded = ['ffn_up', 'ffn_gate', 'ffn_down'].map((part) => `blk.0.${part}.weight`);

test('learned codes stand in the file where rounding can be learned', async () => {
  const model = path.join(folder, 'model');
  await writeShortModel(model);
  const run = async (encoder: 'feedback+refit' | 'learned', output: string) =>
    runJob(
      quantize({
        model,
        home,
        encoder,
        output: path.join(folder, output),
        tensors: Object.fromEntries(coded.map((name) => [name, 'Q2_K'])),
        locks: [String.raw`blk\.1\.|attn|norm|output|token_embd=keep`],
        contextTokens: 32,
        calibrationTokens: 1024,
        samples: 2,
        verify: false,
        learned: { steps: 16, samples: 32, rate: 0.04 },
      }),
    );
  const { result: plain } = await run('feedback+refit', 'plain.gguf');
  const { result: learned, events } = await run('learned', 'learned.gguf');
  expect(learned.plan.hash).toBe(plain.plan.hash);
  const [before, after] = [await tensorsOf(plain.output.path), await tensorsOf(learned.output.path)];
  const changed = [...after].filter(([name, bytes]) => !bytes.equals(before.get(name) as Buffer));
  expect(new Set(changed.map(([name]) => name))).toEqual(new Set(coded));
  const said = events.flatMap((event) => (event.type === 'stage-end' ? [event.summary] : []));
  expect(said).toContainEqual(expect.stringMatching(/^rounding of 3 tensors learned, \d+ as they are$/));

  const { result: again } = await run('learned', 'again.gguf');
  expect(again.output.sha256).toBe(learned.output.sha256);
});

test('steps that make no sense are refused before anything runs', async () => {
  await expectFailure(
    () =>
      runJob(quantize({ model: orator, bitsPerWeight: 4, home, encoder: 'learned', learned: { steps: 0 } })),
    'arguments',
    'LEARNED_INVALID',
    /steps/,
  );
});
