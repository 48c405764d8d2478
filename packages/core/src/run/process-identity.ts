/**
 * @file Which process left something behind, and whether it still runs. A process number alone does not tell: it is given
 * out again, in a container at every start, so the start of the process goes with it.
 */
import { createHash } from 'node:crypto';
import os from 'node:os';

export interface ProcessIdentity {
  readonly processId: number;
  /** When it started, in milliseconds since 1970; 0 when unknown. */
  readonly startedMs: number;
}

/** Two readings of one process's start may differ by the clock's corrections. */
const START_TOLERANCE_MS = 2000;

/** The machine, for folders that several machines share. */
export const machineTag: string = createHash('sha256').update(os.hostname()).digest('hex').slice(0, 8);

export function thisProcess(): ProcessIdentity {
  return { processId: process.pid, startedMs: Math.round(Date.now() - process.uptime() * 1000) };
}

/** Whether a process of this machine runs; of another process only the number can be checked. */
export function isRunning({ processId, startedMs }: ProcessIdentity): boolean {
  if (!Number.isInteger(processId) || processId <= 0) return false;
  if (processId === process.pid) {
    return Math.abs(startedMs - thisProcess().startedMs) < START_TOLERANCE_MS;
  }
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
