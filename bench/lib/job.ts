/** @file Runs a job in a process of its own and watches the memory of that process and all it starts. */
import { fork } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plan, PlanOptions, QuantizeOptions, QuantizeResult } from '@bitsmith/core';
import type { JobMessage, JobRequest } from './job-child.js';
import { MemorySampler, type TreeMemory } from './process-tree.js';

export interface Watched<Result> {
  readonly result: Result;
  /** Peaks by phase: a stage's name; `verify` is the file decoded, `run` both models on text. */
  readonly peaks: ReadonlyMap<string, TreeMemory>;
  /** What the job said in passing. */
  readonly notes: readonly string[];
}

export type WatchedJob = Watched<QuantizeResult>;

/** The main job. @throws Error when it fails; its own message is on stderr then. */
export async function watchJob(
  options: Omit<QuantizeOptions, 'signal'>,
  say: (line: string) => void,
): Promise<WatchedJob> {
  return watch<QuantizeResult>({ kind: 'quantize', options }, say);
}

/** Planning alone: everything is measured, nothing encoded. @throws Error when it fails */
export async function watchPlan(
  options: Omit<PlanOptions, 'signal'>,
  say: (line: string) => void,
): Promise<Watched<Plan>> {
  return watch<Plan>({ kind: 'plan', options }, say);
}

async function watch<Result extends QuantizeResult | Plan>(
  request: JobRequest,
  say: (line: string) => void,
): Promise<Watched<Result>> {
  const entry = path.join(path.dirname(fileURLToPath(import.meta.url)), 'job-child.js');
  const child = fork(entry, { serialization: 'advanced' });
  const sampler = new MemorySampler(child.pid as number, 'open');
  const notes: string[] = [];
  let verifications = 0;
  let result: Result | undefined;
  child.on('message', (message) => {
    const received = message as JobMessage;
    if (received.type === 'result') {
      result = received.result as Result;
      return;
    }
    const { event } = received;
    if (event.type === 'stage-start') {
      if (event.stage === 'verify') verifications++;
      sampler.enter(event.stage === 'verify' && verifications === 2 ? 'run' : event.stage);
    } else if (event.type === 'stage-end') {
      say(`  ${event.stage}: ${event.summary}, ${event.seconds.toFixed(1)} s`);
    } else if (event.type === 'note') {
      notes.push(event.message);
    }
  });
  child.send(request);
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  sampler.stop();
  if (result === undefined) throw new Error(`the job ended with exit code ${code}`);
  return { result, peaks: sampler.peaks, notes };
}
