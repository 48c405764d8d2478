/** Whether a process runs. One that is over but not yet collected by its parent does not. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';

export function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
  } catch {
    return false;
  }
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${processId}/status`, 'utf8'));
  } catch {
    return process.platform !== 'linux';
  }
}

/** Waits for the end of a process that must end by itself. */
export async function processGone(processId: number): Promise<void> {
  await expect.poll(() => isAlive(processId), { timeout: 20_000, interval: 20 }).toBe(false);
}

/** Waits until no process of a group is left. */
export async function groupGone(group: number): Promise<void> {
  const left = (): boolean => {
    try {
      process.kill(-group, 0);
      return true;
    } catch {
      return false;
    }
  };
  await expect.poll(left, { timeout: 20_000, interval: 20 }).toBe(false);
}

/** Processes that another one started; none where the system has no `ps`. */
export function childrenOf(processId: number): number[] {
  const { stdout } = spawnSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  const pairs = (stdout ?? '')
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number));
  return pairs.filter(([, parent]) => parent === processId).map(([child]) => child);
}
