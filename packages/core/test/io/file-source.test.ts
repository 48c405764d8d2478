import { truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { FileSource } from '../../src/io/file-source.js';
import { expectFailure, failure } from '../support/errors.js';
import { temporaryFolder } from '../support/temporary.js';

const folder = await temporaryFolder();
const file = path.join(folder, 'source');
await writeFile(
  file,
  Uint8Array.from({ length: 1000 }, (_, i) => i % 251),
);

test('reads any range, many at once', async () => {
  const source = await FileSource.open(file);
  expect(source.byteLength).toBe(1000);
  const ranges = await Promise.all(
    Array.from({ length: 50 }, async (_, i) => {
      const target = new Uint8Array(i + 1);
      await source.readInto(target, i * 17);
      return target.every((value, k) => value === (i * 17 + k) % 251);
    }),
  );
  expect(ranges.every(Boolean)).toBe(true);
  await source.close();
});

test('nothing beyond the end', async () => {
  const source = await FileSource.open(file);
  const error = await failure(() => source.readInto(new Uint8Array(2), 999));
  expect(error.kind).toBe('validation');
  await source.readInto(new Uint8Array(0), 1000);
  await source.close();
});

test('a file that becomes shorter while it is read is a coded error, not zeros', async () => {
  const shrinking = path.join(folder, 'shrinking');
  await writeFile(shrinking, new Uint8Array(1000));
  const source = await FileSource.open(shrinking);
  await truncate(shrinking, 100);
  await expectFailure(
    () => source.readInto(new Uint8Array(200), 50),
    'validation',
    'SOURCE_TRUNCATED',
    /expected 1000 bytes/,
  );
  await source.close();
});

test('missing, under a file, or a folder', async () => {
  for (const place of ['absent', 'source/inner']) {
    await expectFailure(() => FileSource.open(path.join(folder, place)), 'model-not-found', 'FILE_NOT_FOUND');
  }
  await expectFailure(() => FileSource.open(folder), 'model-not-found', 'FILE_NOT_FOUND', /found a folder/);
});

test('an aborted signal stops opening and reading with its reason', async () => {
  const reason = new Error('enough');
  await expect(FileSource.open(file, AbortSignal.abort(reason))).rejects.toBe(reason);
  const source = await FileSource.open(file);
  await expect(source.readInto(new Uint8Array(1), 0, AbortSignal.abort(reason))).rejects.toBe(reason);
  await source.close();
});
