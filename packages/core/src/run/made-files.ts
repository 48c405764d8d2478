/**
 * @file Files that an engine makes under temporary names, one after the other: each gets its place in the store when the engine
 * says that it is done, and what a failure or a killed engine leaves is removed.
 */
import { rm } from 'node:fs/promises';
import type { ArtifactStore, TaskIdentity } from './store.js';

export class MadeFiles {
  private readonly store: ArtifactStore;
  private readonly temporary: string[] = [];
  private readonly adoptions: Promise<unknown>[] = [];

  constructor(store: ArtifactStore) {
    this.store = store;
  }

  /** A name for a file to be made. */
  name(extension: string): string {
    const path = this.store.temporaryPath(extension);
    this.temporary.push(path);
    return path;
  }

  /** Gives a finished file its place, while the engine works on. */
  adopt(path: string, task: TaskIdentity, extension: string): void {
    const adoption = this.store.adopt(path, task, extension);
    // A full disk fails here: `settled` tells it, and it must not count as an unhandled rejection until then.
    adoption.catch(() => undefined);
    this.adoptions.push(adoption);
  }

  /** When every finished file has its place. @throws BitsmithError where one could not be moved */
  async settled(): Promise<void> {
    await Promise.all(this.adoptions);
  }

  /** Removes what nobody adopted. */
  async removeRest(): Promise<void> {
    await Promise.allSettled(this.adoptions);
    await Promise.all(this.temporary.map((path) => rm(path, { force: true })));
  }
}
