/** @file A lock between processes: two runs must not write the same unfinished file. */
import { mkdir, readFile, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BitsmithError } from '@bitsmith/formats';
import { fileError } from '../io/file-errors.js';
import { isRunning, type ProcessIdentity, thisProcess } from './process-identity.js';

const ATTEMPTS = 100;
const PAUSE_MS = 20;
/** A guard this old was left by a process that died within the few milliseconds it needs one. */
const GUARD_LIFE_MS = 5000;

/** Locks that this very module holds. */
const held = new Set<string>();

/**
 * Takes the lock, also from a process that is gone. Returns how to give it back.
 * @throws BitsmithError `RUN_IN_PROGRESS` when a living process holds it.
 */
export async function acquireLock(file: string): Promise<() => Promise<void>> {
  const lock = path.resolve(file);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (await take(lock)) return () => giveBack(lock);
    const holder = await holderOf(lock);
    if (holder !== null && isAlive(holder, lock)) throw inProgress(holder, lock);
    if (!(await breakDead(lock))) await pause();
  }
  throw inProgress(await holderOf(lock), lock);
}

/** Whether a living process holds the lock. */
export async function isLocked(file: string): Promise<boolean> {
  const lock = path.resolve(file);
  const holder = await holderOf(lock);
  return holder !== null && isAlive(holder, lock);
}

async function take(lock: string): Promise<boolean> {
  try {
    const { processId, startedMs } = thisProcess();
    await writeFile(lock, `${processId} ${startedMs}`, { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw fileError(error, lock, 'write');
  }
  held.add(lock);
  return true;
}

async function giveBack(lock: string): Promise<void> {
  held.delete(lock);
  await rm(lock, { force: true });
}

/** Null when the file is gone, or says nothing even after its writer had time to. */
async function holderOf(lock: string): Promise<ProcessIdentity | null> {
  for (const wait of [true, false]) {
    const text = await readFile(lock, 'utf8').catch(() => null);
    if (text === null) return null;
    const [processId, startedMs] = text.split(' ').map(Number);
    if (processId > 0) return { processId, startedMs: startedMs ?? 0 };
    if (wait) await pause();
  }
  return null;
}

/** Removes a dead process's lock. A guard lets one process at a time do so: another could remove what the first just took. */
async function breakDead(lock: string): Promise<boolean> {
  const guard = `${lock}.guard`;
  try {
    await mkdir(guard);
  } catch {
    const age = await stat(guard).then(
      (status) => Date.now() - status.mtimeMs,
      () => 0,
    );
    if (age > GUARD_LIFE_MS) await rmdir(guard).catch(() => undefined);
    return false;
  }
  try {
    const holder = await holderOf(lock);
    if (holder === null || !isAlive(holder, lock)) await rm(lock, { force: true });
    return true;
  } finally {
    await rmdir(guard).catch(() => undefined);
  }
}

function isAlive(holder: ProcessIdentity, lock: string): boolean {
  return held.has(lock) || isRunning(holder);
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}

function inProgress(holder: ProcessIdentity | null, lock: string): BitsmithError {
  return new BitsmithError(
    'checkpoint',
    'RUN_IN_PROGRESS',
    `process ${holder?.processId ?? 'unknown'} is making the same file already`,
    { suggestion: `Wait for it, or end it. If no such process runs, delete ${lock}.` },
  );
}
