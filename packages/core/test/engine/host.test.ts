import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { EngineHost } from '../../src/engine/host.js';
import { failure } from '../support/errors.js';
import { isAlive, processGone } from '../support/processes.js';

const hosts: EngineHost[] = [];

/** A host whose engine is one of the small programs in `entries`. */
function hostOf(entry: string): EngineHost {
  const path = fileURLToPath(new URL(`./entries/${entry}.mjs`, import.meta.url));
  const host = new EngineHost({ threads: 1, verbose: false }, path);
  hosts.push(host);
  return host;
}

afterEach(async () => {
  for (const host of hosts.splice(0)) await host.close();
});

/** Hosts pass parameters through; what these small engines get is not a real task's. */
type Loose = (
  kind: 'verify',
  parameters: unknown,
  options?: { onEvent?: (event: unknown) => void; signal?: AbortSignal },
) => Promise<unknown>;

const runOn = (host: EngineHost): Loose => host.run.bind(host) as unknown as Loose;

describe('answers', () => {
  test('events in order, then the result, with typed arrays and bigints as they were', async () => {
    const host = hostOf('answers');
    const events: unknown[] = [];
    const parameters = { tokens: Int32Array.of(1, -2), large: 2n ** 60n, nothing: null };
    const answer = await runOn(host)('verify', parameters, { onEvent: (event) => events.push(event) });
    expect(events).toEqual([1, 2]);
    expect(answer).toEqual({ parameters, process: host.processId });
  });

  test('one process serves many requests, also at once', async () => {
    const host = hostOf('answers');
    const answers = await Promise.all([1, 2, 3].map((value) => runOn(host)('verify', value)));
    expect(answers).toEqual([1, 2, 3].map((parameters) => ({ parameters, process: host.processId })));
  });

  test("a task's own error keeps its kind, code and advice", async () => {
    const error = await failure(() => runOn(hostOf('refuses'))('verify', null));
    expect(error).toMatchObject({
      kind: 'validation',
      code: 'WEIGHT_NOT_FINITE',
      message: 'damaged',
      suggestion: 'export it again',
    });
  });
});

describe('deaths', () => {
  test.each([
    ['exit', 'ended with exit code 7', 'engine', 'ENGINE_CRASHED'],
    ['abort', 'was killed by SIGABRT', 'engine', 'ENGINE_CRASHED'],
    ['kill', 'was killed by SIGKILL', 'resources', 'ENGINE_KILLED'],
    ['std::bad_alloc', 'was killed by SIGABRT', 'resources', 'ENGINE_OUT_OF_MEMORY'],
  ])('by %s: a typed error with the task and the last words', async (how, words, kind, code) => {
    const host = hostOf('dies');
    const error = await failure(() => runOn(host)('verify', { how }));
    expect(error).toMatchObject({ kind, code });
    expect(error.message).toContain(`the engine ${words} during the task "verify"`);
    expect(error.message).toContain(`GGML_ASSERT failed: ${how}`);
    expect(error.suggestion).toMatch(/finished work is kept/);
  });

  test('every request that waited fails, and the next one gets a new process', async () => {
    const host = hostOf('silent');
    const first = runOn(host)('verify', 1).catch((error: { code: string }) => error.code);
    const second = runOn(host)('verify', 2).catch((error: { code: string }) => error.code);
    const before = host.processId as number;
    process.kill(before, 'SIGKILL');
    expect(await Promise.all([first, second])).toEqual(['ENGINE_KILLED', 'ENGINE_KILLED']);
    const started = new Promise<number>((resolve) => {
      const onEvent = (event: unknown): void => resolve((event as { process: number }).process);
      runOn(host)('verify', 3, { onEvent }).catch(() => undefined);
    });
    expect(await started).not.toBe(before);
  });

  test('an engine that cannot start is a typed error', async () => {
    const error = await failure(() => runOn(hostOf('absent'))('verify', null));
    expect(error.code).toBe('ENGINE_CRASHED');
    expect(error.message).toMatch(/Cannot find module|MODULE_NOT_FOUND/);
  });
});

describe('the end', () => {
  test('an abort kills the engine and rejects with its reason', async () => {
    const host = hostOf('silent');
    const controller = new AbortController();
    const reason = new Error('enough');
    let engine = 0;
    const onEvent = (event: unknown): void => {
      engine = (event as { process: number }).process;
      controller.abort(reason);
    };
    const work = runOn(host)('verify', null, { signal: controller.signal, onEvent });
    await expect(work).rejects.toBe(reason);
    await processGone(engine);
  });

  test('a signal that is aborted already starts nothing', async () => {
    const host = hostOf('silent');
    const reason = new Error('enough');
    await expect(runOn(host)('verify', null, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(host.processId).toBeUndefined();
  });

  test('closing rejects what waits, ends the process, and starts none again', async () => {
    const host = hostOf('silent');
    const waiting = runOn(host)('verify', null).catch((error: { code: string }) => error.code);
    const engine = host.processId as number;
    await host.close();
    expect(await waiting).toBe('ENGINE_CLOSED');
    expect(isAlive(engine)).toBe(false);
    expect((await failure(() => runOn(host)('verify', null))).code).toBe('ENGINE_CLOSED');
    expect(host.processId).toBeUndefined();
    await host.close();
  });

  test('resting ends the process, and the next request starts another', async () => {
    const host = hostOf('answers');
    const { process: first } = (await runOn(host)('verify', 1)) as { process: number };
    await host.rest();
    expect(isAlive(first)).toBe(false);
    expect(host.processId).toBeUndefined();
    expect(await runOn(host)('verify', 2)).toEqual({ parameters: 2, process: host.processId });
    expect(host.processId).not.toBe(first);
  });

  test('closing an engine that died meanwhile does not wait for it', async () => {
    const host = hostOf('dies');
    await failure(() => runOn(host)('verify', { how: 'kill' }));
    await host.close();
    const other = hostOf('silent');
    const work = runOn(other)('verify', null).catch(() => undefined);
    process.kill(other.processId as number, 'SIGKILL');
    await other.close();
    await work;
  });
});
