/**
 * @file One file from the Hub to disk. Bytes go to `NAME.partial`; a later attempt continues it with an HTTP Range request.
 * The file gets its name only when its size and its hash (SHA-256 of large-file storage, or git's blob hash) are right,
 * so a file that is there under its name is a file that was verified.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { ReadableStream } from 'node:stream/web';
import { BitsmithError } from '@bitsmith/formats';
import { fileError } from '../../io/file-errors.js';
import { ensureFolder, writeAt } from '../../io/file-sink.js';
import type { HubFile } from './select.js';

/** A remote file's bytes from some offset to its end. */
export interface RemoteFile {
  readonly stream: ReadableStream<Uint8Array>;
  /** What a failure of the stream means: a `BitsmithError`, or a `TransferInterrupted` that may be tried again. */
  explain(error: unknown): Error;
}

/** Opens the remote file from a byte offset to its end. */
export type OpenRemote = (file: HubFile, offset: number) => Promise<RemoteFile>;

export interface Transfer {
  readonly file: HubFile;
  /** Absolute path the file gets when it is complete. */
  readonly target: string;
  readonly openRemote: OpenRemote;
  readonly signal?: AbortSignal;
}

/** What the network did, apart from what disk and content did: only this may be tried again. */
export class TransferInterrupted extends Error {
  override readonly name = 'TransferInterrupted';
  /** True when the partial file is worth keeping. */
  readonly resumable: boolean;

  constructor(message: string, details: { resumable: boolean; cause?: unknown }) {
    super(message, { cause: details.cause });
    this.resumable = details.resumable;
  }
}

/** Forgets what was downloaded of a file that is not complete. */
export async function dropPartial(target: string): Promise<void> {
  await rm(partialPath(target), { force: true });
}

/** True when the file is there in full. */
export async function isComplete(target: string, file: HubFile): Promise<boolean> {
  return (await sizeOf(target)) === file.byteLength;
}

/** Bytes of the file that need not be downloaded again. */
export async function bytesPresent(target: string, file: HubFile): Promise<number> {
  return (await isComplete(target, file)) ? file.byteLength : usablePart(target, file);
}

async function usablePart(target: string, file: HubFile): Promise<number> {
  const partial = (await sizeOf(partialPath(target))) ?? 0;
  return partial <= file.byteLength ? partial : 0;
}

/**
 * Downloads what is missing of one file. Yields the bytes that it has so far.
 * @throws TransferInterrupted when the connection ended early; the partial file stays for the next attempt
 * @throws BitsmithError `HUB_HASH_MISMATCH`, `DISK_FULL`, `OUTPUT_READ_ONLY`
 */
export async function* transfer(job: Transfer): AsyncGenerator<number, void, void> {
  const partial = partialPath(job.target);
  await ensureFolder(path.dirname(job.target));
  const have = await usablePart(job.target, job.file);
  const resumed = have > 0;
  const hash = startHash(job.file);
  if (resumed) await hashFile(hash, partial, job.signal);
  const handle = await openPartial(partial, resumed ? 'r+' : 'w');
  try {
    if (have < job.file.byteLength) yield* receive(job, handle, hash, have);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await acceptOrRefuse(job, hash, resumed);
}

async function* receive(
  job: Transfer,
  handle: FileHandle,
  hash: Hash,
  offset: number,
): AsyncGenerator<number> {
  const { file, signal } = job;
  const remote = await job.openRemote(file, offset);
  const reader = remote.stream.getReader();
  let position = offset;
  try {
    while (true) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        signal?.throwIfAborted();
        throw remote.explain(error);
      });
      if (done) break;
      signal?.throwIfAborted();
      if (position + value.byteLength > file.byteLength) throw tooLong(file);
      await writeAt(handle, partialPath(job.target), value, position);
      hash.update(value);
      position += value.byteLength;
      yield position;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
  if (position < file.byteLength)
    throw new TransferInterrupted('the connection ended early', { resumable: true });
}

async function acceptOrRefuse({ file, target }: Transfer, hash: Hash, resumed: boolean): Promise<void> {
  const partial = partialPath(target);
  const expected = file.sha256 ?? file.gitOid;
  const found = hash.digest('hex');
  if (expected !== null && found !== expected) {
    await dropPartial(target);
    if (resumed)
      throw new TransferInterrupted('what was downloaded earlier is damaged', { resumable: false });
    throw new BitsmithError(
      'validation',
      'HUB_HASH_MISMATCH',
      `${file.path} does not have the content that the Hub promised`,
      {
        expected: `${file.sha256 === null ? 'git object' : 'SHA-256'} ${expected}`,
        found,
        suggestion:
          'Run the same command again; when it happens again, a proxy or the server alters the file.',
      },
    );
  }
  try {
    await rename(partial, target);
  } catch (error) {
    throw fileError(error, target, 'write');
  }
}

function tooLong(file: HubFile): BitsmithError {
  return new BitsmithError(
    'validation',
    'HUB_SIZE_MISMATCH',
    `the server sent more of ${file.path} than it announced`,
    {
      expected: `${file.byteLength} bytes`,
      found: 'more',
      suggestion: 'Run the same command again; when it happens again, a proxy or the server alters the file.',
    },
  );
}

function startHash(file: HubFile): Hash {
  if (file.sha256 !== null || file.gitOid === null) return createHash('sha256');
  const algorithm = file.gitOid.length === 64 ? 'sha256' : 'sha1';
  return createHash(algorithm).update(`blob ${file.byteLength}\0`);
}

async function hashFile(hash: Hash, filePath: string, signal?: AbortSignal): Promise<void> {
  try {
    for await (const chunk of createReadStream(filePath, { highWaterMark: 1 << 20, signal }))
      hash.update(chunk as Uint8Array);
  } catch (error) {
    signal?.throwIfAborted();
    throw fileError(error, filePath, 'read');
  }
}

async function openPartial(filePath: string, flags: 'r+' | 'w'): Promise<FileHandle> {
  try {
    return await open(filePath, flags);
  } catch (error) {
    throw fileError(error, filePath, 'write');
  }
}

async function sizeOf(filePath: string): Promise<number | null> {
  return stat(filePath).then(
    ({ size }) => size,
    () => null,
  );
}

function partialPath(target: string): string {
  return `${target}.partial`;
}
