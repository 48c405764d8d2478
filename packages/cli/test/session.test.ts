import { EventEmitter } from 'node:events';
import type { RunEvent } from '@bitsmith/core';
import { BitsmithError } from '@bitsmith/formats';
import { describe, expect, it } from 'vitest';
import type { CliContext, CliProcess } from '../src/context.js';
import { runWork } from '../src/session.js';

const flags = { json: false, verbose: false, quiet: false };

/** A process that only remembers. */
function fakeHost() {
  const said: string[] = [];
  const exits: number[] = [];
  const stream = { write: (text: string) => said.push(text) > 0 };
  const host = Object.assign(new EventEmitter(), {
    stdout: stream,
    stderr: stream,
    env: { LANG: 'C.UTF-8' },
    exit: (code: number) => void exits.push(code),
  }) as unknown as CliProcess & EventEmitter;
  const context = { process: { stdout: stream, stderr: stream }, host } as unknown as CliContext;
  return { host, context, said, exits };
}

async function* work(signal: AbortSignal, stubborn: boolean): AsyncGenerator<RunEvent, string, void> {
  yield { type: 'stage-start', stage: 'encode', label: 'encoding' };
  const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
  await (stubborn ? new Promise<void>((resolve) => setTimeout(resolve, 50)) : stopped);
  throw new Error('the engine died');
}

describe('a signal', () => {
  it('aborts the work, and what the work then says counts as cancelled', async () => {
    const { host, context, said } = fakeHost();
    const outcome = runWork(context, flags, (signal) => work(signal, false));
    setTimeout(() => host.emit('SIGINT', 'SIGINT'), 5);
    const error: unknown = await outcome.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(BitsmithError);
    expect(error).toMatchObject({ code: 'CANCELLED', exitCode: 9, message: 'stopped by SIGINT' });
    expect(said.join('')).toContain('once more to stop at once');
    expect(host.listenerCount('SIGINT') + host.listenerCount('SIGTERM')).toBe(0);
  });

  it('a second time ends the process at once', async () => {
    const { host, context, exits } = fakeHost();
    const outcome = runWork(context, flags, (signal) => work(signal, true));
    setTimeout(() => {
      host.emit('SIGINT', 'SIGINT');
      expect(exits).toEqual([]);
      host.emit('SIGTERM', 'SIGTERM');
    }, 5);
    await expect(outcome).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(exits).toEqual([9]);
  });

  it('that never came changes nothing', async () => {
    const { context } = fakeHost();
    await expect(runWork(context, flags, (signal) => work(signal, true))).rejects.toThrow('the engine died');
  });
});
