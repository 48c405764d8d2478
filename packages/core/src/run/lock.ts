/** @file A lock between processes: two runs must not write the same unfinished file. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { BitsmithError } from '@bitsmith/formats';
import { fileError } from '../io/file-errors.js';

/**
 * Takes the lock, also from a process that is gone. Returns how to give it back.
 * @throws BitsmithError `RUN_IN_PROGRESS` when a living process holds it.
 */
export async function acquireLock(file: string): Promise<() => Promise<void>> {
  for (let attempt = 0; ; attempt++) {
    try {
      await writeFile(file, String(process.pid), { flag: 'wx' });
      return () => rm(file, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw fileError(error, file, 'write');
      const holder = Number(await readFile(file, 'utf8').catch(() => ''));
      if (attempt > 0 || isAlive(holder)) {
        throw new BitsmithError(
          'checkpoint',
          'RUN_IN_PROGRESS',
          `process ${holder} is making the same file already`,
          {
            suggestion: `Wait for it, or end it. If no such process runs, delete ${file}.`,
          },
        );
      }
      await rm(file, { force: true });
    }
  }
}

function isAlive(processId: number): boolean {
  if (!Number.isInteger(processId) || processId <= 0) return false;
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
