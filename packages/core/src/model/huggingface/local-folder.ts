/** @file A model folder on disk as a `FolderReader`. Links are followed, as a hub cache is made of them. */
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { BitsmithError, type ByteSource } from '@bitsmith/formats';
import { fileError } from '../../io/file-errors.js';
import { FileSource } from '../../io/file-source.js';
import type { FolderReader } from './folder.js';

/** The files of a model lie at its top or one folder down (`1_Pooling/config.json`). */
const LISTED_DEPTH = 2;

/** A folder with open files; `close` when the conversion is written. */
export interface LocalFolder extends FolderReader {
  close(): Promise<void>;
}

/** @throws BitsmithError `FILE_NOT_FOUND`, `FILE_UNREADABLE` or `MODEL_NOT_A_FOLDER`. */
export async function openLocalFolder(location: string): Promise<LocalFolder> {
  const root = path.resolve(location);
  try {
    if (!(await stat(root)).isDirectory()) {
      throw new BitsmithError(
        'model-not-found',
        'MODEL_NOT_A_FOLDER',
        `expected a folder, found a file: ${root}`,
        {
          suggestion: 'Name the folder that holds config.json.',
        },
      );
    }
  } catch (error) {
    throw fileError(error, root, 'read');
  }
  return new DiskFolder(root);
}

class DiskFolder implements LocalFolder {
  readonly name: string;
  private readonly root: string;
  private readonly sources = new Map<string, Promise<FileSource>>();

  constructor(root: string) {
    this.root = root;
    this.name = path.basename(root);
  }

  async list(signal?: AbortSignal): Promise<readonly string[]> {
    const files: string[] = [];
    await this.collect('', LISTED_DEPTH, files, signal);
    return files;
  }

  private async collect(folder: string, depth: number, files: string[], signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const location = path.join(this.root, folder);
    let names: string[];
    try {
      names = await readdir(location);
    } catch (error) {
      throw fileError(error, location, 'read');
    }
    for (const name of names.sort()) {
      const relative = folder === '' ? name : `${folder}/${name}`;
      const status = await stat(path.join(this.root, relative)).catch(() => undefined);
      if (status?.isFile() === true) files.push(relative);
      else if (status?.isDirectory() === true && depth > 1)
        await this.collect(relative, depth - 1, files, signal);
    }
  }

  open(file: string, signal?: AbortSignal): Promise<ByteSource> {
    let source = this.sources.get(file);
    if (source === undefined) {
      source = FileSource.open(this.inside(file), signal);
      this.sources.set(file, source);
      source.catch(() => this.sources.delete(file));
    }
    return source;
  }

  async readText(file: string, signal?: AbortSignal): Promise<string> {
    const location = this.inside(file);
    try {
      return await readFile(location, { encoding: 'utf8', signal });
    } catch (error) {
      signal?.throwIfAborted();
      throw fileError(error, location, 'read');
    }
  }

  async close(): Promise<void> {
    const open = await Promise.allSettled(this.sources.values());
    this.sources.clear();
    for (const source of open) if (source.status === 'fulfilled') await source.value.close();
  }

  /** Shard names come from a file that others wrote: none may point out of the folder. */
  private inside(file: string): string {
    const location = path.resolve(this.root, file);
    if (path.isAbsolute(file) || !location.startsWith(this.root + path.sep)) {
      throw new BitsmithError(
        'validation',
        'MODEL_PATH',
        `the model names a file outside its folder: ${file}`,
        {
          expected: 'file names inside the model folder',
          found: file,
          suggestion: 'Do not use this model: its index was tampered with or damaged.',
        },
      );
    }
    return location;
  }
}
