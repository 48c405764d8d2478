/** @file Runs the main job in a process of its own and watches the memory of that process and all it starts. */
import { fork } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { QuantizeOptions, QuantizeResult } from '@bitsmith/core';
import type { JobMessage } from './job-child.js';
import { MemorySampler, type TreeMemory } from './process-tree.js';

export interface WatchedJob {
  readonly result: QuantizeResult;
  /** Peaks by phase: a stage's name; `verify` is the file decoded, `run` both models on text. */
  readonly peaks: ReadonlyMap<string, TreeMemory>;
}

/** @throws Error when the job fails; its own message is on stderr then. */
export async function watchJob(
  options: Omit<QuantizeOptions, 'signal'>,
  say: (line: string) => void,
): Promise<WatchedJob> {
  const entry = path.join(path.dirname(fileURLToPath(import.meta.url)), 'job-child.js');
  const child = fork(entry, { serialization: 'advanced' });
  const sampler = new MemorySampler(child.pid as number, 'open');
  let verifications = 0;
  let result: QuantizeResult | undefined;
  child.on('message', (message) => {
    const received = message as JobMessage;
    if (received.type === 'result') {
      result = received.result;
      return;
    }
    const { event } = received;
    if (event.type === 'stage-start') {
      if (event.stage === 'verify') verifications++;
      sampler.enter(event.stage === 'verify' && verifications === 2 ? 'run' : event.stage);
    } else if (event.type === 'stage-end') {
      say(`  ${event.stage}: ${event.summary}, ${event.seconds.toFixed(1)} s`);
    }
  });
  child.send(options);
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  sampler.stop();
  if (result === undefined) throw new Error(`the job ended with exit code ${code}`);
  return { result, peaks: sampler.peaks };
}
