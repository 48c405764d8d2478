import { spawn, spawnSync } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { acquireLock } from '../../src/run/lock.js';
import { expectFailure, failure } from '../support/errors.js';
import { temporaryFolder } from '../support/temporary.js';

const folder = await temporaryFolder();
let count = 0;
const freshPath = (): string => path.join(folder, `${count++}.lock`);

test('held, it refuses the same process as well, and says who has it', async () => {
  const file = freshPath();
  const release = await acquireLock(file);
  const error = await failure(() => acquireLock(file));
  expect(error).toMatchObject({ kind: 'checkpoint', code: 'RUN_IN_PROGRESS' });
  expect(error.message).toContain(`process ${process.pid}`);
  expect(error.suggestion).toContain(file);
  await release();
});

test('given back, it can be taken again, and leaves no file', async () => {
  const file = freshPath();
  await (
    await acquireLock(file)
  )();
  await (
    await acquireLock(file)
  )();
  expect(await readdir(folder)).not.toContain(path.basename(file));
});

test('a living process keeps it, a dead one does not', async () => {
  const file = freshPath();
  const holder = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  await writeFile(file, String(holder.pid));
  await expectFailure(() => acquireLock(file), 'checkpoint', 'RUN_IN_PROGRESS');
  const gone = new Promise((resolve) => holder.once('exit', resolve));
  holder.kill('SIGKILL');
  await gone;
  const release = await acquireLock(file);
  expect(Number((await readFile(file, 'utf8')).split(/\s/)[0])).toBe(process.pid);
  await release();
});

test('a process that was killed while it took the lock left an empty file: that holds nothing', async () => {
  const file = freshPath();
  await writeFile(file, '');
  await (
    await acquireLock(file)
  )();
});

test('a dead run whose process number this one has now, as in a container, holds nothing', async () => {
  const file = freshPath();
  await writeFile(file, String(process.pid));
  await (
    await acquireLock(file)
  )();
});

test('of many that find a dead lock at once, exactly one gets it', async () => {
  const dead = spawnSync(process.execPath, ['-e', '']).pid;
  for (let round = 0; round < 30; round++) {
    const file = freshPath();
    await writeFile(file, String(dead));
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => acquireLock(file)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const outcome of outcomes) if (outcome.status === 'fulfilled') await outcome.value();
  }
  expect((await readdir(folder)).filter((name) => name.includes('guard'))).toEqual([]);
});

test('a folder that is not there is a coded error', async () => {
  await expectFailure(
    () => acquireLock(path.join(folder, 'absent', 'x.lock')),
    'arguments',
    'FOLDER_NOT_FOUND',
  );
});
