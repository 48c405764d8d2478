/**
 * @file The artifact store. Everything slow is a task; a task's key is the SHA-256 of its kind, version, parameters and
 * the hashes of its inputs, and its result lives in a file under that key, written to a temporary name and renamed.
 * Resuming, caching and surviving a crash are then one question: is the artifact there?
 */
import { randomUUID } from 'node:crypto';
import { readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { ensureFolder, moveIntoPlace, writeAtomically } from '../io/file-sink.js';
import { fileError } from '../io/file-errors.js';
import { canonicalJson, sha256, sha256File } from '../io/hash.js';
import { isLocked } from './lock.js';
import { isRunning, machineTag, type ProcessIdentity, thisProcess } from './process-identity.js';

/** What identifies a task's result. `version` changes when the code computes something else from the same inputs. */
export interface TaskIdentity {
  readonly kind: string;
  readonly version: number;
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Content hashes of everything read. */
  readonly inputs: Readonly<Record<string, string>>;
}

export interface StoredArtifact {
  readonly kind: string;
  readonly name: string;
  readonly path: string;
  readonly byteLength: number;
  readonly lastUsed: Date;
}

export class ArtifactStore {
  /** The folder of everything kept between runs. */
  readonly home: string;

  private constructor(home: string) {
    this.home = home;
  }

  /** Opens (and creates) a store: `home`, else `BITSMITH_HOME`, else `.bitsmith` in the working folder. */
  static async open(home?: string): Promise<ArtifactStore> {
    const folder = path.resolve(home ?? process.env['BITSMITH_HOME'] ?? '.bitsmith');
    const store = new ArtifactStore(folder);
    await ensureFolder(store.artifactsFolder);
    await ensureFolder(store.workFolder);
    await ensureFolder(store.runsFolder);
    await store.sweep();
    return store;
  }

  get artifactsFolder(): string {
    return path.join(this.home, 'artifacts');
  }

  /** Unfinished work that a later run may continue. */
  get workFolder(): string {
    return path.join(this.home, 'work');
  }

  /** Models downloaded from the Hub. */
  get hubFolder(): string {
    return path.join(this.home, 'hub');
  }

  /** Profiles that a user keeps under a name. */
  get profilesFolder(): string {
    return path.join(this.home, 'profiles');
  }

  get runsFolder(): string {
    return path.join(this.home, 'runs');
  }

  /** The path of an artifact, whether it exists or not. */
  pathOf(task: TaskIdentity, extension: string): string {
    return path.join(this.artifactsFolder, task.kind, `${taskKey(task)}.${extension}`);
  }

  /** The artifact's path when it is there, and marks it as used. */
  async find(task: TaskIdentity, extension: string): Promise<string | null> {
    const file = this.pathOf(task, extension);
    try {
      const now = new Date();
      await utimes(file, now, now);
      return file;
    } catch {
      return null;
    }
  }

  /** A small result kept as JSON; null when it is absent or unreadable (a torn disk), so that it is made again. */
  async readJson<Value>(task: TaskIdentity): Promise<Value | null> {
    const file = await this.find(task, 'json');
    if (file === null) return null;
    try {
      return JSON.parse(await readFile(file, 'utf8')) as Value;
    } catch {
      return null;
    }
  }

  async writeJson(task: TaskIdentity, value: unknown): Promise<void> {
    const file = this.pathOf(task, 'json');
    await ensureFolder(path.dirname(file));
    await writeAtomically(file, (sink) => sink.write(new TextEncoder().encode(JSON.stringify(value))));
  }

  /** A fresh name in the work folder for a file that is about to be made; it says who makes it. */
  temporaryPath(extension: string): string {
    const { processId, startedMs } = thisProcess();
    const owner = `${machineTag}-${processId}-${startedMs}`;
    return path.join(this.workFolder, `${owner}-${randomUUID()}.${extension}`);
  }

  /** Drops temporary files of processes that were killed: nothing continues them, and a source can be large. */
  private async sweep(): Promise<void> {
    for (const name of await readdir(this.workFolder)) {
      const owner = ownerOf(name);
      if (owner === null || owner.machine !== machineTag || isRunning(owner)) continue;
      await rm(path.join(this.workFolder, name), { force: true });
    }
  }

  /** Gives a finished file its place under the task's key. */
  async adopt(temporary: string, task: TaskIdentity, extension: string): Promise<string> {
    const file = this.pathOf(task, extension);
    await ensureFolder(path.dirname(file));
    await moveIntoPlace(temporary, file);
    return file;
  }

  /** SHA-256 of a file, remembered by path, size and modification time so that large sources are hashed once. */
  async fileHash(file: string, signal?: AbortSignal): Promise<string> {
    let status;
    try {
      status = await stat(file, { bigint: true });
    } catch (error) {
      throw fileError(error, file, 'read');
    }
    const task: TaskIdentity = {
      kind: 'file-hash',
      version: 1,
      parameters: {
        path: path.resolve(file),
        size: String(status.size),
        modified: String(status.mtimeNs),
        node: String(status.ino),
      },
      inputs: {},
    };
    const known = await this.readJson<{ sha256: string }>(task);
    if (known !== null) return known.sha256;
    const hash = await sha256File(file, signal);
    await this.writeJson(task, { sha256: hash });
    return hash;
  }

  /** Every artifact, largest first. */
  async list(): Promise<StoredArtifact[]> {
    const found: StoredArtifact[] = [];
    await ensureFolder(this.hubFolder);
    for (const folder of [this.artifactsFolder, this.workFolder, this.hubFolder]) {
      for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
        if (!entry.isFile()) continue;
        const file = path.join(entry.parentPath, entry.name);
        // Another run may finish or drop it meanwhile.
        const status = await stat(file).catch(() => null);
        if (status === null) continue;
        const kind = this.kindOf(folder, entry.parentPath);
        found.push({ kind, name: entry.name, path: file, byteLength: status.size, lastUsed: status.mtime });
      }
    }
    return found.sort((a, b) => b.byteLength - a.byteLength || a.path.localeCompare(b.path));
  }

  private kindOf(folder: string, parent: string): string {
    if (folder === this.workFolder) return 'unfinished';
    return folder === this.hubFolder ? 'download' : path.basename(parent);
  }

  /** Whether a running process is making it: a temporary file, or an unfinished output with its journal and lock. */
  private async isInWork({ kind, name, path: file }: StoredArtifact): Promise<boolean> {
    if (kind !== 'unfinished') return false;
    const owner = ownerOf(name);
    if (owner !== null) return owner.machine === machineTag && isRunning(owner);
    return isLocked(path.join(path.dirname(file), `${name.replace(/\.[a-z]+$/, '')}.lock`));
  }

  /** Deletes artifacts not used since `before`, but for what a run is making; returns what went. */
  async collect(before: Date): Promise<StoredArtifact[]> {
    const removed: StoredArtifact[] = [];
    for (const artifact of await this.list()) {
      if (artifact.lastUsed >= before || (await this.isInWork(artifact))) continue;
      await rm(artifact.path, { force: true });
      removed.push(artifact);
    }
    return removed;
  }

  /** Writes a run's record; returns its path. */
  async writeRecord(runId: string, record: unknown): Promise<string> {
    const file = path.join(this.runsFolder, `${runId}.json`);
    await writeAtomically(file, (sink) =>
      sink.write(new TextEncoder().encode(`${JSON.stringify(record, null, 2)}\n`)),
    );
    return file;
  }

  /** Renames inside the store, for results that are made in place. */
  async rename(from: string, to: string): Promise<void> {
    await ensureFolder(path.dirname(to));
    await rename(from, to);
  }
}

/** Who makes a temporary file, as `temporaryPath` names it. */
function ownerOf(name: string): (ProcessIdentity & { readonly machine: string }) | null {
  const parts = /^\.?([0-9a-f]{8})-(\d+)-(\d+)-/.exec(name);
  if (parts === null) return null;
  return { machine: parts[1], processId: Number(parts[2]), startedMs: Number(parts[3]) };
}

/** The name of a task's result: SHA-256 over its canonical identity. */
export function taskKey(task: TaskIdentity): string {
  return sha256(canonicalJson(task));
}
