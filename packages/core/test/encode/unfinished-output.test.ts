import { appendFile, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { refuseTooLittleSpace, UnfinishedOutput } from '../../src/encode/unfinished-output.js';
import { ArtifactStore } from '../../src/run/store.js';
import { expectFailure } from '../support/errors.js';
import { temporaryFolder } from '../support/temporary.js';

const root = await temporaryFolder();
const model = { sha256: 'a'.repeat(64) };
const calibration = { sha256: 'b'.repeat(64) };
const layout = { header: Uint8Array.of(1, 2, 3, 4), byteLength: 4096 };
let store: ArtifactStore;
let count = 0;

const take = (): Promise<UnfinishedOutput> => UnfinishedOutput.open(store, model, calibration, layout);

/** The unfinished output after a run that wrote `bytes` and was killed. */
async function leave(bytes: Uint8Array, journal: string): Promise<UnfinishedOutput> {
  const left = await take();
  await writeFile(left.path, bytes);
  await writeFile(left.journalPath, journal);
  await left.release();
  return left;
}

beforeEach(async () => {
  store = await ArtifactStore.open(path.join(root, String(count++)));
});

describe('an unfinished output', () => {
  test('begins with the header and zeros, at its final size', async () => {
    const begun = await take();
    const bytes = await readFile(begun.path);
    expect([...bytes.subarray(0, 6)]).toEqual([1, 2, 3, 4, 0, 0]);
    expect(bytes.length).toBe(layout.byteLength);
    expect(await begun.complete()).toEqual(new Set());
    await begun.release();
  });

  test('is taken up after its complete tensors; lines that a crash tore do not count', async () => {
    const bytes = new Uint8Array(layout.byteLength).fill(7);
    await leave(bytes, '"a"\n"b""c"\n\0\0\n"d"\n"e');
    const again = await take();
    expect(await again.complete()).toEqual(new Set(['a', 'd']));
    await appendFile(again.journalPath, '"e"\n');
    expect(await again.complete()).toEqual(new Set(['a', 'd', 'e']));
    expect(new Uint8Array(await readFile(again.path))).toEqual(bytes);
    await again.release();
  });

  test('begins anew where the journal speaks of another file', async () => {
    await leave(new Uint8Array(10), '"a"\n');
    const again = await take();
    expect(await again.complete()).toEqual(new Set());
    expect((await readFile(again.path)).length).toBe(layout.byteLength);
    await again.release();
  });

  test('belongs to one run until it is published, and leaves nothing behind then', async () => {
    const first = await take();
    await expectFailure(take, 'checkpoint', 'RUN_IN_PROGRESS');
    const output = path.join(store.home, 'out.gguf');
    await first.publish(output);
    await first.release();
    expect((await readFile(output)).length).toBe(layout.byteLength);
    expect(await readdir(store.workFolder)).toEqual([]);
    const second = await take();
    await second.discard();
    await second.release();
    expect(await readdir(store.workFolder)).toEqual([]);
  });

  test('needs room on the disk', async () => {
    expect(() => refuseTooLittleSpace(99, 100, 'folder')).toThrow(
      'expected 100 bytes free on the disk of folder, found 99',
    );
    const vast = { ...layout, byteLength: 2 ** 60 };
    const open = () => UnfinishedOutput.open(store, model, calibration, vast);
    await expectFailure(open, 'resources', 'DISK_FULL');
    expect(await readdir(store.workFolder)).toEqual([]);
  });
});
