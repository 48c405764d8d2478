import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { ensureFolder, FileSink, moveIntoPlace, writeAtomically } from '../../src/io/file-sink.js';
import { expectFailure } from '../support/errors.js';
import { temporaryFolder } from '../support/temporary.js';

const root = await temporaryFolder();
let count = 0;
async function freshFolder(): Promise<string> {
  const folder = path.join(root, String(count++));
  await mkdir(folder);
  return folder;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test('a sink writes in order and counts', async () => {
  const file = path.join(await freshFolder(), 'out');
  const sink = await FileSink.create(file);
  await sink.write(bytes('abc'));
  await sink.write(new Uint8Array(0));
  await sink.write(bytes('def'));
  expect(sink.bytesWritten).toBe(6);
  await sink.close();
  expect(await readFile(file, 'utf8')).toBe('abcdef');
});

test('an aborted signal writes nothing', async () => {
  const file = path.join(await freshFolder(), 'out');
  const sink = await FileSink.create(file);
  const reason = new Error('enough');
  await expect(sink.write(bytes('abc'), AbortSignal.abort(reason))).rejects.toBe(reason);
  await sink.close();
  expect((await stat(file)).size).toBe(0);
});

describe('writeAtomically', () => {
  test('the file appears only when it is complete, and alone', async () => {
    const folder = await freshFolder();
    const file = path.join(folder, 'out');
    await writeAtomically(file, async (sink) => {
      await sink.write(bytes('half'));
      await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' });
      await sink.write(bytes(' and half'));
    });
    expect(await readdir(folder)).toEqual(['out']);
    expect(await readFile(file, 'utf8')).toBe('half and half');
  });

  test('a failure leaves nothing behind and an older file as it was', async () => {
    const folder = await freshFolder();
    const file = path.join(folder, 'out');
    await writeFile(file, 'old');
    const failing = writeAtomically(file, async (sink) => {
      await sink.write(bytes('new'));
      throw new Error('broken');
    });
    await expect(failing).rejects.toThrow('broken');
    expect(await readdir(folder)).toEqual(['out']);
    expect(await readFile(file, 'utf8')).toBe('old');
  });

  test('an abort in the middle leaves nothing behind', async () => {
    const folder = await freshFolder();
    const controller = new AbortController();
    const reason = new Error('enough');
    const writing = writeAtomically(path.join(folder, 'out'), async (sink) => {
      await sink.write(bytes('some'));
      controller.abort(reason);
      await sink.write(bytes('more'), controller.signal);
    });
    await expect(writing).rejects.toBe(reason);
    expect(await readdir(folder)).toEqual([]);
  });

  test('a name that is a folder is a coded error and leaves nothing behind', async () => {
    const folder = await freshFolder();
    await mkdir(path.join(folder, 'out'));
    await expectFailure(
      () => writeAtomically(path.join(folder, 'out'), (sink) => sink.write(bytes('x'))),
      'arguments',
      'FILE_IS_FOLDER',
    );
    expect(await readdir(folder)).toEqual(['out']);
  });

  test('a missing folder, or a file where the folder should be', async () => {
    const folder = await freshFolder();
    await writeFile(path.join(folder, 'file'), '');
    for (const place of ['absent/out', 'file/out']) {
      await expectFailure(
        () => writeAtomically(path.join(folder, place), (sink) => sink.write(bytes('x'))),
        'arguments',
        'FOLDER_NOT_FOUND',
        /out$/,
      );
    }
    expect(await readdir(folder)).toEqual(['file']);
  });

  test('a symbolic link at the name is replaced; what it points to is never written', async () => {
    const folder = await freshFolder();
    await writeFile(path.join(folder, 'target'), 'precious');
    await symlink(path.join(folder, 'target'), path.join(folder, 'out'));
    await writeAtomically(path.join(folder, 'out'), (sink) => sink.write(bytes('new')));
    expect(await readFile(path.join(folder, 'target'), 'utf8')).toBe('precious');
    expect(await readFile(path.join(folder, 'out'), 'utf8')).toBe('new');
  });
});

describe('moveIntoPlace', () => {
  test('moves, over an older file as well', async () => {
    const folder = await freshFolder();
    const [from, to] = [path.join(folder, 'from'), path.join(folder, 'to')];
    await writeFile(from, 'new');
    await writeFile(to, 'old');
    await moveIntoPlace(from, to);
    expect(await readdir(folder)).toEqual(['to']);
    expect(await readFile(to, 'utf8')).toBe('new');
  });

  test('from one disk to another', async (context) => {
    const folder = await freshFolder();
    const elsewhere = '/dev/shm';
    const other = await stat(elsewhere).catch(() => null);
    if (other === null || other.dev === (await stat(folder)).dev) {
      context.skip('this machine has no second disk at /dev/shm');
      return;
    }
    const from = path.join(elsewhere, `bitsmith-test-${process.pid}`);
    await writeFile(from, 'content');
    await moveIntoPlace(from, path.join(folder, 'to'));
    expect(await readdir(folder)).toEqual(['to']);
    expect(await readFile(path.join(folder, 'to'), 'utf8')).toBe('content');
    await expect(stat(from)).rejects.toMatchObject({ code: 'ENOENT' });
    await writeFile(from, 'content');
    await expectFailure(
      () => moveIntoPlace(from, path.join(folder, 'absent', 'to')),
      'arguments',
      'FOLDER_NOT_FOUND',
    );
    await rm(from);
  });

  test('onto a folder is a coded error; the finished file stays where it was', async () => {
    const folder = await freshFolder();
    await writeFile(path.join(folder, 'from'), 'new');
    await mkdir(path.join(folder, 'to'));
    await expectFailure(
      () => moveIntoPlace(path.join(folder, 'from'), path.join(folder, 'to')),
      'arguments',
      'FILE_IS_FOLDER',
    );
    expect((await readdir(folder)).sort()).toEqual(['from', 'to']);
  });
});

test('ensureFolder makes parents, twice without complaint, and refuses a file in the way', async () => {
  const folder = await freshFolder();
  await ensureFolder(path.join(folder, 'a', 'b'));
  await ensureFolder(path.join(folder, 'a', 'b'));
  await writeFile(path.join(folder, 'file'), '');
  for (const place of ['file', 'file/inner']) {
    await expectFailure(() => ensureFolder(path.join(folder, place)), 'arguments', 'FOLDER_NOT_FOUND');
  }
});
