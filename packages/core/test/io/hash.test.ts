import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalJson, sha256, sha256File } from '../../src/io/hash.js';
import { expectFailure } from '../support/errors.js';
import { temporaryFolder } from '../support/temporary.js';

const folder = await temporaryFolder();

test('the published value', () => {
  expect(sha256('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});

test('a file as its bytes, across many blocks', async () => {
  const bytes = Uint8Array.from({ length: 3_000_001 }, (_, i) => (i * 31) % 256);
  const file = path.join(folder, 'large');
  await writeFile(file, bytes);
  expect(await sha256File(file)).toBe(createHash('sha256').update(bytes).digest('hex'));
  const empty = path.join(folder, 'empty');
  await writeFile(empty, '');
  expect(await sha256File(empty)).toBe(sha256(''));
});

test('missing file and aborted signal', async () => {
  await expectFailure(() => sha256File(path.join(folder, 'absent')), 'model-not-found', 'FILE_NOT_FOUND');
  const reason = new Error('enough');
  await expect(sha256File(path.join(folder, 'absent'), AbortSignal.abort(reason))).rejects.toBe(reason);
});

test('equal data is equal text whatever the order of keys; other data is other text', () => {
  expect(canonicalJson({ b: [1, { d: 2, c: null }], a: 'x' })).toBe('{"a":"x","b":[1,{"c":null,"d":2}]}');
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const shuffled = JSON.parse(JSON.stringify(value), (_key, item: unknown) =>
        item !== null && typeof item === 'object' && !Array.isArray(item)
          ? Object.fromEntries(Object.entries(item).toReversed())
          : item,
      ) as unknown;
      expect(canonicalJson(shuffled)).toBe(canonicalJson(value));
      expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});
