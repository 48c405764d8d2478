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

/** Waits until no process of a group runs; whoever inherits them may take seconds to collect those that are over. */
export async function groupGone(group: number): Promise<void> {
  const left = (): boolean => {
    try {
      process.kill(-group, 0);
    } catch {
      return false;
    }
    const all = allProcesses();
    return all.length === 0 || all.some((each) => each.group === group && !each.isOver);
  };
  await expect.poll(left, { timeout: 20_000, interval: 20 }).toBe(false);
}

/** Processes that another one started; none where the system has no `ps`. */
export function childrenOf(processId: number): number[] {
  return allProcesses()
    .filter(({ parent }) => parent === processId)
    .map(({ id }) => id);
}

interface Listed {
  readonly id: number;
  readonly parent: number;
  readonly group: number;
  /** Ended, but not yet collected. */
  readonly isOver: boolean;
}

function allProcesses(): Listed[] {
  const { stdout } = spawnSync('ps', ['-A', '-o', 'pid=,ppid=,pgid=,stat='], { encoding: 'utf8' });
  const lines = (stdout ?? '').split('\n').filter((line) => line.trim() !== '');
  return lines.map((line) => {
    const [id, parent, group, state] = line.trim().split(/\s+/);
    return { id: Number(id), parent: Number(parent), group: Number(group), isOver: state.startsWith('Z') };
  });
}
