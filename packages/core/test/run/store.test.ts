import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { sha256 } from '../../src/io/hash.js';
import { acquireLock } from '../../src/run/lock.js';
import { ArtifactStore, taskKey, type TaskIdentity } from '../../src/run/store.js';
import { expectFailure } from '../support/errors.js';
import { temporaryFolder } from '../support/temporary.js';

const folder = await temporaryFolder();
let count = 0;
const freshStore = (): Promise<ArtifactStore> => ArtifactStore.open(path.join(folder, String(count++)));

const task: TaskIdentity = {
  kind: 'probe',
  version: 1,
  parameters: { tensor: 'a', scheme: 'Q4_K' },
  inputs: { model: 'f00d' },
};

describe('keys', () => {
  test('do not depend on the order in which things are named', () => {
    expect(
      taskKey({
        inputs: { model: 'f00d' },
        parameters: { scheme: 'Q4_K', tensor: 'a' },
        version: 1,
        kind: 'probe',
      }),
    ).toBe(taskKey(task));
  });

  test('depend on everything else', () => {
    const others: TaskIdentity[] = [
      task,
      { ...task, kind: 'errors' },
      { ...task, version: 2 },
      { ...task, parameters: { tensor: 'a', scheme: 'Q5_K' } },
      { ...task, parameters: { tensor: 'a' } },
      { ...task, parameters: { tensor: 'a', scheme: ['Q4_K'] } },
      { ...task, inputs: { model: 'beef' } },
      { ...task, inputs: { text: 'f00d' } },
      { ...task, parameters: { tensor: 'a', scheme: 'Q4_K', inputs: { model: 'f00d' } } },
    ];
    expect(new Set(others.map(taskKey)).size).toBe(others.length);
  });
});

describe('artifacts', () => {
  test('are absent, then there, and survive a new store over the same folder', async () => {
    const store = await freshStore();
    expect(await store.readJson(task)).toBeNull();
    expect(await store.find(task, 'json')).toBeNull();
    await store.writeJson(task, { klNats: 0.25 });
    const again = await ArtifactStore.open(store.home);
    expect(await again.readJson(task)).toEqual({ klNats: 0.25 });
    expect(await again.find(task, 'json')).toBe(store.pathOf(task, 'json'));
    expect(await again.readJson({ ...task, version: 2 })).toBeNull();
  });

  test('numbers come back exactly', async () => {
    const store = await freshStore();
    const value = { small: 5e-324, third: 1 / 3, large: 1.7976931348623157e308, negative: -1e-7 };
    await store.writeJson(task, value);
    expect(await store.readJson(task)).toEqual(value);
  });

  test('a torn one counts as absent and is made again', async () => {
    const store = await freshStore();
    await store.writeJson(task, { klNats: 0.25 });
    await writeFile(store.pathOf(task, 'json'), '{"klNats":0.');
    expect(await store.readJson(task)).toBeNull();
    await store.writeJson(task, { klNats: 0.5 });
    expect(await store.readJson(task)).toEqual({ klNats: 0.5 });
  });

  test('adopted from the work folder, nothing stays there', async () => {
    const store = await freshStore();
    const temporary = store.temporaryPath('gguf');
    expect(path.dirname(temporary)).toBe(store.workFolder);
    await writeFile(temporary, 'weights');
    const adopted = await store.adopt(temporary, task, 'gguf');
    expect(await readFile(adopted, 'utf8')).toBe('weights');
    expect(await readdir(store.workFolder)).toEqual([]);
    expect(store.temporaryPath('gguf')).not.toBe(temporary);
  });

  test('many writers of the same result leave one whole file', async () => {
    const store = await freshStore();
    const value = { text: 'x'.repeat(100_000) };
    await Promise.all(Array.from({ length: 20 }, () => store.writeJson(task, value)));
    expect(await store.readJson(task)).toEqual(value);
    expect(await readdir(path.dirname(store.pathOf(task, 'json')))).toHaveLength(1);
  });
});

describe('temporary files', () => {
  test('of a process that was killed go when the store is opened again; of a living one they stay', async () => {
    const store = await freshStore();
    const mine = store.temporaryPath('gguf');
    const dead = spawnSync(process.execPath, ['-e', '']).pid;
    const theirs = mine.replace(`-${process.pid}-`, `-${dead}-`);
    const atomic = path.join(store.workFolder, `.${path.basename(theirs)}.0123abcd.tmp`);
    const elsewhere = path.join(store.workFolder, `00000000-${dead}-1-x.gguf`);
    const continued = path.join(store.workFolder, `${'ab'.repeat(32)}.journal`);
    for (const file of [mine, theirs, atomic, elsewhere, continued]) await writeFile(file, 'x');
    await ArtifactStore.open(store.home);
    const left = await readdir(store.workFolder);
    expect(left.sort()).toEqual([mine, elsewhere, continued].map((file) => path.basename(file)).sort());
  });
});

describe('hashes of files', () => {
  test('are those of the bytes, and follow a change', async () => {
    const store = await freshStore();
    const file = path.join(store.home, 'model.gguf');
    await writeFile(file, 'one');
    expect(await store.fileHash(file)).toBe(sha256('one'));
    expect(await store.fileHash(file)).toBe(sha256('one'));
    await writeFile(file, 'two');
    expect(await store.fileHash(file)).toBe(sha256('two'));
    await rm(file);
    await writeFile(file, 'six');
    expect(await store.fileHash(file)).toBe(sha256('six'));
  });

  test('a missing file is a coded error, an aborted signal stops at once', async () => {
    const store = await freshStore();
    await expectFailure(
      () => store.fileHash(path.join(store.home, 'absent')),
      'model-not-found',
      'FILE_NOT_FOUND',
    );
    const file = path.join(store.home, 'model.gguf');
    await writeFile(file, 'one');
    const reason = new Error('enough');
    await expect(store.fileHash(file, AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});

describe('housekeeping', () => {
  test('lists what is there, largest first, with its kind', async () => {
    const store = await freshStore();
    await store.writeJson(task, 'x'.repeat(1000));
    await store.writeJson({ ...task, kind: 'weight-errors' }, 'x');
    await writeFile(path.join(store.workFolder, 'half.gguf'), 'x'.repeat(50));
    const listed = await store.list();
    expect(listed.map(({ kind, byteLength }) => [kind, byteLength])).toEqual([
      ['probe', 1002],
      ['unfinished', 50],
      ['weight-errors', 3],
    ]);
  });

  test('collects what was not used since a date; finding is using', async () => {
    const store = await freshStore();
    const [used, unused] = [task, { ...task, version: 9 }];
    const old = new Date('2020-01-01');
    for (const each of [used, unused]) {
      await store.writeJson(each, {});
      await utimes(store.pathOf(each, 'json'), old, old);
    }
    await store.find(used, 'json');
    const removed = await store.collect(new Date('2021-01-01'));
    expect(removed.map((artifact) => artifact.path)).toEqual([store.pathOf(unused, 'json')]);
    expect(await store.find(used, 'json')).not.toBeNull();
    expect(await store.find(unused, 'json')).toBeNull();
  });

  test('reading is using, too', async () => {
    const store = await freshStore();
    await store.writeJson(task, {});
    const old = new Date('2020-01-01');
    await utimes(store.pathOf(task, 'json'), old, old);
    await store.readJson(task);
    expect(await store.collect(new Date('2021-01-01'))).toEqual([]);
  });

  test('leaves what a running process makes, until it is done', async () => {
    const store = await freshStore();
    const unfinished = path.join(store.workFolder, 'abc');
    const files = [`${unfinished}.gguf`, `${unfinished}.journal`, store.temporaryPath('gguf')];
    for (const file of files) await writeFile(file, 'x');
    const release = await acquireLock(`${unfinished}.lock`);
    const later = new Date(Date.now() + 60_000);
    expect(await store.collect(later)).toEqual([]);
    await release();
    const removed = await store.collect(later);
    expect(removed.map((artifact) => artifact.path).sort()).toEqual(files.slice(0, 2).sort());
  });

  test('a file that vanishes meanwhile is no failure', async () => {
    const store = await freshStore();
    for (let i = 0; i < 200; i++) await writeFile(path.join(store.workFolder, `${i}.tmp`), 'x');
    const listing = store.list().then((listed) => listed.length);
    for (let i = 0; i < 200; i++) await rm(path.join(store.workFolder, `${i}.tmp`));
    expect(await listing).toBeLessThanOrEqual(200);
  });
});

test('a record is JSON under its run', async () => {
  const store = await freshStore();
  const file = await store.writeRecord('2026-01-01-abc', { status: 'success' });
  expect(path.dirname(file)).toBe(store.runsFolder);
  expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({ status: 'success' });
});

test('the home is the option, else BITSMITH_HOME, else .bitsmith here', async () => {
  const before = process.env['BITSMITH_HOME'];
  const named = path.join(folder, 'named');
  const fromEnvironment = path.join(folder, 'environment');
  try {
    process.env['BITSMITH_HOME'] = fromEnvironment;
    expect((await ArtifactStore.open(named)).home).toBe(named);
    expect((await ArtifactStore.open()).home).toBe(fromEnvironment);
    expect((await stat(path.join(fromEnvironment, 'artifacts'))).isDirectory()).toBe(true);
  } finally {
    if (before === undefined) delete process.env['BITSMITH_HOME'];
    else process.env['BITSMITH_HOME'] = before;
  }
});

test('a home that cannot be made is a coded error', async () => {
  const file = path.join(folder, 'a-file');
  await writeFile(file, '');
  await expectFailure(() => ArtifactStore.open(path.join(file, 'home')), 'arguments', 'FOLDER_NOT_FOUND');
  await mkdir(path.join(folder, 'blocked'));
  await writeFile(path.join(folder, 'blocked', 'artifacts'), '');
  await expectFailure(
    () => ArtifactStore.open(path.join(folder, 'blocked')),
    'arguments',
    'FOLDER_NOT_FOUND',
  );
});
