import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { readBytes } from '@bitsmith/formats';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openLocalFolder } from '../../../src/model/huggingface/index.js';

let root: string;

beforeAll(async () => {
  root = await mkdtemp(path.join(os.tmpdir(), 'bitsmith-folder-'));
  await mkdir(path.join(root, 'model', 'sub', 'deep'), { recursive: true });
  await writeFile(path.join(root, 'outside.txt'), 'outside');
  await writeFile(path.join(root, 'model', 'a.txt'), 'ä text');
  await writeFile(path.join(root, 'model', 'sub', 'b.txt'), 'b');
  await writeFile(path.join(root, 'model', 'sub', 'deep', 'c.txt'), 'c');
  await symlink(path.join(root, 'outside.txt'), path.join(root, 'model', 'link.txt'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

test('lists two levels and follows links, as a hub cache has them', async () => {
  const folder = await openLocalFolder(path.join(root, 'model'));
  expect(folder.name).toBe('model');
  expect(await folder.list()).toEqual(['a.txt', 'link.txt', 'sub/b.txt']);
  expect(await folder.readText('a.txt')).toBe('ä text');
  expect(await folder.readText('link.txt')).toBe('outside');
  const source = await folder.open('a.txt');
  expect(Buffer.from(await readBytes(source, 3, 4)).toString()).toBe('text');
  await folder.close();
});

test.each(['../outside.txt', '/etc/hostname', 'sub/../../outside.txt'])(
  'refuses to read %s',
  async (file) => {
    const folder = await openLocalFolder(path.join(root, 'model'));
    await expect(folder.readText(file)).rejects.toMatchObject({ kind: 'validation', code: 'MODEL_PATH' });
    await folder.close();
  },
);

test('a file, or nothing, is no folder', async () => {
  await expect(openLocalFolder(path.join(root, 'outside.txt'))).rejects.toMatchObject({
    code: 'MODEL_NOT_A_FOLDER',
  });
  await expect(openLocalFolder(path.join(root, 'nothing'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
});
