/**
 * @file A model from the Hugging Face Hub into a folder of the artifact store. Each commit has a folder of its own and each
 * file is verified before it gets its name, so a folder is never a mixture and a second run downloads nothing.
 */
import { mkdir, readFile, statfs, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BitsmithError } from '@bitsmith/formats';
import { fileError } from '../io/file-errors.js';
import { ensureFolder } from '../io/file-sink.js';
import type { Work } from '../run/events.js';
import { HubClient, pause } from './hub/client.js';
import { type HubReference, parseHubId } from './hub/reference.js';
import { assertSafeNames, type HubFile, type HubSelection, selectFiles, shardsOf } from './hub/select.js';
import { bytesPresent, dropPartial, isComplete, transfer, TransferInterrupted } from './hub/transfer.js';

export { isHubId, parseHubId } from './hub/reference.js';

export interface HubDownloadOptions {
  /** Folder that keeps downloads, in `hub/ORG/NAME/COMMIT/NAME/` below it: converters name a model after its folder. */
  readonly store: string;
  /** A token of the Hub; `HF_TOKEN` when left out. */
  readonly token?: string;
  /** Server; `HF_ENDPOINT` when left out, else https://huggingface.co. */
  readonly endpoint?: string;
  /** Wait before the first retry, in milliseconds. */
  readonly retryDelayMs?: number;
  readonly signal?: AbortSignal;
}

export interface HubDownload {
  /** What to open: the folder, or for a GGUF its (first) file. */
  readonly path: string;
  readonly folder: string;
  /** Absolute paths of all files of the model. */
  readonly files: readonly string[];
  /** Git commit that the revision stood for. */
  readonly commit: string;
}

interface DownloadRecord {
  readonly commit: string;
  readonly gguf: string | null;
  readonly files: readonly { readonly path: string; readonly byteLength: number }[];
}

const maxAttempts = 5;
/** An attempt that got this far does not count as a failed one. */
const attemptWorthBytes = 1 << 20;
const progressIntervalMs = 100;

/**
 * Downloads a model, or continues where an earlier call ended; files that are there are not asked for again.
 * Safetensors are preferred; a repository with only GGUF must have one, or `:FILE` names it (splits come along).
 * @param location `org/name`, `org/name@revision`, `org/name:file.gguf`
 * @throws BitsmithError authentication `HUB_GATED`, `HUB_TOKEN_REQUIRED`, `HUB_TOKEN_REFUSED`; model-not-found
 * `HUB_MODEL_NOT_FOUND`, `HUB_REVISION_NOT_FOUND`, `HUB_FILE_NOT_FOUND`; general `HUB_UNREACHABLE`; resources `DISK_FULL`;
 * validation `HUB_HASH_MISMATCH`, `HUB_PATH_UNSAFE`; and what `selectFiles` says of unsuitable repositories
 */
export async function* downloadFromHub(location: string, options: HubDownloadOptions): Work<HubDownload> {
  options.signal?.throwIfAborted();
  const started = performance.now();
  const reference = parseHubId(location);
  yield { type: 'stage-start', stage: 'download', label: `Downloading ${location}` };
  const base = path.join(options.store, 'hub', ...reference.repository.split('/'));
  const earlier = await readRecord(base, reference);
  let record = earlier !== null && earlier.commit === reference.revision ? earlier : null;
  let received = 0;
  if (record === null) {
    try {
      ({ record, received } = yield* fetchModel(base, reference, options));
    } catch (error) {
      if (earlier === null || !(error instanceof BitsmithError && error.code === 'HUB_UNREACHABLE'))
        throw error;
      const message = `${error.message}; using ${reference.repository} as downloaded earlier (commit ${earlier.commit})`;
      yield { type: 'note', level: 'warning', message };
      record = earlier;
    }
  }
  yield {
    type: 'stage-end',
    stage: 'download',
    seconds: (performance.now() - started) / 1000,
    cached: received === 0,
    summary: summarize(record),
  };
  const download = toDownload(base, record);
  await markAsUsed([...download.files, recordPath(base, reference)]);
  return download;
}

async function* fetchModel(
  base: string,
  reference: HubReference,
  options: HubDownloadOptions,
): Work<{ record: DownloadRecord; received: number }> {
  const client = new HubClient(reference, {
    endpoint: endpointOf(options),
    token: options.token ?? (process.env['HF_TOKEN']?.trim() || null),
    retryDelayMs: options.retryDelayMs ?? 500,
    signal: options.signal,
  });
  const commit = await client.resolveCommit();
  const listed = await client.listFiles(commit);
  assertSafeNames(reference.repository, listed);
  const selection = selectFiles(reference.repository, listed, reference.file);
  const folder = modelFolder(base, commit);
  await ensureFolder(folder);
  const job: Job = { client, commit, folder, options };
  const files = yield* allFiles(job, reference, selection, listed);
  const received = yield* downloadAll(job, files);
  const record = {
    commit,
    gguf: selection.gguf,
    files: files.map((file) => ({ path: file.path, byteLength: file.byteLength })),
  };
  await writeRecord(base, reference, record);
  return { record, received };
}

interface Job {
  readonly client: HubClient;
  readonly commit: string;
  readonly folder: string;
  readonly options: HubDownloadOptions;
}

/** The index must be read before it is known which shards belong to the model. */
async function* allFiles(
  job: Job,
  reference: HubReference,
  selection: HubSelection,
  listed: readonly HubFile[],
): Work<readonly HubFile[]> {
  const { shardIndex } = selection;
  if (shardIndex === null) return selection.files;
  yield* downloadAll(job, [shardIndex]);
  const index = await readFile(path.join(job.folder, shardIndex.path), 'utf8');
  return [...selection.files, ...shardsOf(reference.repository, index, listed)];
}

/** Returns the bytes that had to be received. */
async function* downloadAll(job: Job, files: readonly HubFile[]): Work<number> {
  const total = files.reduce((sum, file) => sum + file.byteLength, 0);
  let present = 0;
  for (const file of files) present += await bytesPresent(targetOf(job, file), file);
  await assertSpace(job.folder, total - present);
  let done = 0;
  for (const file of files) {
    if (!(await isComplete(targetOf(job, file), file))) yield* downloadOne(job, file, done, total);
    done += file.byteLength;
  }
  return total - present;
}

async function* downloadOne(job: Job, file: HubFile, before: number, total: number): Work<void> {
  const { client, commit, options } = job;
  const target = targetOf(job, file);
  const openRemote = (wanted: HubFile, offset: number) => client.open(commit, wanted, offset);
  let reported = 0;
  for (let attempt = 1; ; attempt++) {
    const start = await bytesPresent(target, file);
    let have = start;
    try {
      for await (have of transfer({ file, target, openRemote, signal: options.signal })) {
        if (performance.now() - reported < progressIntervalMs && have < file.byteLength) continue;
        reported = performance.now();
        yield {
          type: 'progress',
          stage: 'download',
          done: before + have,
          total,
          unit: 'bytes',
          item: file.path,
        };
      }
      return;
    } catch (error) {
      if (!(error instanceof TransferInterrupted)) throw error;
      if (!error.resumable) await dropPartial(target);
      else if (have - start >= attemptWorthBytes) attempt = 1;
      if (attempt >= maxAttempts) throw client.giveUp(error);
      yield { type: 'note', level: 'verbose', message: `${file.path}: ${error.message}; trying again` };
      await pause((options.retryDelayMs ?? 500) * 2 ** (attempt - 1), options.signal);
    }
  }
}

function targetOf(job: Job, file: HubFile): string {
  return path.join(job.folder, ...file.path.split('/'));
}

function endpointOf(options: HubDownloadOptions): string {
  const endpoint = (options.endpoint ?? process.env['HF_ENDPOINT']?.trim()) || 'https://huggingface.co';
  if (URL.canParse(endpoint) && /^https?:/.test(endpoint)) return endpoint.replace(/\/+$/, '');
  throw new BitsmithError('arguments', 'HUB_ENDPOINT_INVALID', 'HF_ENDPOINT does not name a server', {
    expected: 'an address such as https://huggingface.co',
    found: endpoint,
    suggestion: 'Correct or unset HF_ENDPOINT.',
  });
}

async function assertSpace(folder: string, neededBytes: number): Promise<void> {
  const disk = await statfs(folder);
  const free = disk.bavail * disk.bsize;
  if (neededBytes <= free) return;
  throw new BitsmithError('resources', 'DISK_FULL', `the model does not fit on the disk of ${folder}`, {
    expected: `${neededBytes} bytes free`,
    found: `${free} bytes`,
    suggestion: 'Free some space, or set BITSMITH_HOME to a folder on a larger disk.',
  });
}

function summarize(record: DownloadRecord): string {
  const bytes = record.files.reduce((sum, file) => sum + file.byteLength, 0);
  const count = record.files.length;
  return `${count} ${count === 1 ? 'file' : 'files'}, ${(bytes / 1e6).toFixed(1)} MB, commit ${record.commit.slice(0, 8)}`;
}

/** What a run used stays when old artifacts are deleted. */
async function markAsUsed(files: readonly string[]): Promise<void> {
  const now = new Date();
  // A store on a read-only disk is still good to read from.
  for (const file of files) await utimes(file, now, now).catch(() => undefined);
}

function toDownload(base: string, record: DownloadRecord): HubDownload {
  const folder = modelFolder(base, record.commit);
  const files = record.files.map((file) => path.join(folder, ...file.path.split('/')));
  const opened = record.gguf === null ? folder : path.join(folder, ...record.gguf.split('/'));
  return { path: opened, folder, files, commit: record.commit };
}

function modelFolder(base: string, commit: string): string {
  return path.join(base, commit, path.basename(base));
}

function recordPath(base: string, reference: HubReference): string {
  const name = reference.file === null ? reference.revision : `${reference.revision}:${reference.file}`;
  return path.join(base, 'refs', `${encodeURIComponent(name)}.json`);
}

/** What an earlier call finished under this very name, when all of it is still there. */
async function readRecord(base: string, reference: HubReference): Promise<DownloadRecord | null> {
  try {
    const record = JSON.parse(await readFile(recordPath(base, reference), 'utf8')) as DownloadRecord;
    for (const file of record.files) {
      const target = path.join(modelFolder(base, record.commit), ...file.path.split('/'));
      if (!(await isComplete(target, { ...file, sha256: null, gitOid: null }))) return null;
    }
    return record;
  } catch {
    return null;
  }
}

async function writeRecord(base: string, reference: HubReference, record: DownloadRecord): Promise<void> {
  const target = recordPath(base, reference);
  try {
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(target, `${JSON.stringify(record, null, 2)}\n`);
  } catch (error) {
    throw fileError(error, target, 'write');
  }
}
