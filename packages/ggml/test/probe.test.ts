import { writeFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { engineCommit, engineRelease, probeEngine } from '../src/probe.js';
import { temporaryFolder } from './support/tiny-model.js';

const folder = temporaryFolder();
afterAll(() => folder.remove());

function child(name: string, code: string): string {
  const file = folder.at(`${name}.mjs`);
  writeFileSync(file, code);
  return file;
}

describe('probeEngine', () => {
  it('describes the engine of this machine', async () => {
    const description = await probeEngine();
    expect(description).toMatchObject({ commit: engineCommit, version: engineRelease });
    if (process.platform === 'linux' && process.arch === 'x64') expect(description.bitExact).toBe(true);
  });

  it.each([
    [
      'dies',
      "console.error('GGML_ASSERT(nonsense) failed'); process.abort();",
      'its last words: GGML_ASSERT(nonsense) failed',
    ],
    ['exits with a code', 'process.exit(3);', 'it ended with code 3'],
    ['says nothing', '', 'it said nothing'],
    [
      'finds another engine',
      "console.log(JSON.stringify({ description: {}, failures: ['size of llama_batch: expected 56, found 64'] }));",
      'the engine is not the one expected: size of llama_batch: expected 56, found 64',
    ],
  ])('turns a child that %s into a typed error', async (_what, code, message) => {
    const failure: unknown = await probeEngine({ entry: child('dying', code) }).catch(
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({ kind: 'engine', code: 'ENGINE_PROBE_FAILED' });
    expect((failure as Error).message).toContain(message);
  });

  it('ends a child that takes too long', async () => {
    await expect(
      probeEngine({ entry: child('endless', 'setInterval(() => {}, 1000);'), timeoutMs: 300 }),
    ).rejects.toMatchObject({
      code: 'ENGINE_PROBE_FAILED',
      message: expect.stringContaining('it took too long') as string,
    });
  });

  it("hands on the child's own error", async () => {
    const report = JSON.stringify({
      error: {
        kind: 'engine',
        errorType: 'ENGINE_NOT_INSTALLED',
        message: 'nothing there',
        suggestion: 'npm install it',
      },
    });
    await expect(
      probeEngine({ entry: child('missing', `console.log(${JSON.stringify(report)});`) }),
    ).rejects.toMatchObject({
      code: 'ENGINE_NOT_INSTALLED',
      suggestion: 'npm install it',
    });
  });

  it('heeds its signal', async () => {
    await expect(probeEngine({ signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no');
    const controller = new AbortController();
    const work = probeEngine({
      entry: child('slow', 'setInterval(() => {}, 1000);'),
      signal: controller.signal,
    });
    setTimeout(() => controller.abort(new Error('enough')), 100);
    await expect(work).rejects.toThrow('enough');
  });
});
