/**
 * @file The output while it is being made, in the work folder. Its place there is fixed by what it will contain, so an
 * interrupted run finds it again and continues after the last complete tensor. One run at a time may hold it, until the
 * file is published under its final name.
 */
import { open, readFile, rm, stat, statfs, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BitsmithError, type GgufLayout } from '@bitsmith/formats';
import type { Calibration } from '../calibrate/calibrate.js';
import { TERNARY_VERSION } from './ternary.js';
import { encoderInputs } from '../gram/statistics.js';
import type { LearnedCodes } from './learned/learned.js';
import { ENGINE_RELEASE } from '../engine/release.js';
import { fileError } from '../io/file-errors.js';
import { ensureFolder, moveIntoPlace, writeAt } from '../io/file-sink.js';
import { sha256 } from '../io/hash.js';
import type { SourceModel } from '../model/types.js';
import { acquireLock } from '../run/lock.js';
import { type ArtifactStore, taskKey } from '../run/store.js';

/** `stat` counts blocks of this size, whatever the disk's own are. */
const STAT_BLOCK_BYTES = 512;

export class UnfinishedOutput {
  readonly path: string;
  /** Names of the complete tensors, a line each. */
  readonly journalPath: string;
  /** Gives the file back: to a later run, or to nobody when it was published. */
  readonly release: () => Promise<void>;

  private constructor(base: string, release: () => Promise<void>) {
    this.path = `${base}.gguf`;
    this.journalPath = `${base}.journal`;
    this.release = release;
  }

  /**
   * Takes the unfinished output of a plan, as far as an earlier run came, or begins it.
   * @throws BitsmithError `RUN_IN_PROGRESS` while another run holds it, `DISK_FULL` when what is missing cannot fit
   */
  static async open(
    store: ArtifactStore,
    model: Pick<SourceModel, 'sha256'>,
    calibration: Pick<Calibration, 'sha256' | 'rounding'>,
    layout: Pick<GgufLayout, 'header' | 'byteLength'>,
    learned: Pick<LearnedCodes, 'hash'> | null = null,
  ): Promise<UnfinishedOutput> {
    const key = taskKey({
      kind: 'encode',
      version: 1,
      parameters: {
        engine: ENGINE_RELEASE,
        ternary: TERNARY_VERSION,
        header: sha256(layout.header),
        byteLength: layout.byteLength,
      },
      inputs: {
        model: model.sha256,
        ...encoderInputs(calibration),
        ...(learned === null ? {} : { learned: learned.hash }),
      },
    });
    const base = path.join(store.workFolder, key);
    await ensureFolder(store.workFolder);
    const output = new UnfinishedOutput(base, await acquireLock(`${base}.lock`));
    try {
      await output.refuseTooLittleDisk(layout);
      await output.resume(layout);
      return output;
    } catch (error) {
      await output.release();
      throw error;
    }
  }

  /** Names of the tensors whose bytes are all in place. A torn line, from a killed process, does not count. */
  async complete(): Promise<Set<string>> {
    const journal = await readFile(this.journalPath, 'utf8').catch(() => '');
    const names = journal.split('\n').slice(0, -1).map(nameIn);
    return new Set(names.filter((name) => name !== null));
  }

  /** Moves the complete file to its final name. */
  async publish(finalPath: string): Promise<void> {
    await moveIntoPlace(this.path, finalPath);
    await rm(this.journalPath, { force: true });
  }

  /** Drops everything, so that the next run begins anew. */
  async discard(): Promise<void> {
    await rm(this.journalPath, { force: true });
    await rm(this.path, { force: true });
  }

  /** What an earlier run wrote need not be free any more. */
  private async refuseTooLittleDisk(layout: Pick<GgufLayout, 'header' | 'byteLength'>): Promise<void> {
    const folder = path.dirname(this.path);
    const disk = await statfs(folder);
    const written = await stat(this.path).then(
      ({ blocks }) => blocks * STAT_BLOCK_BYTES,
      () => 0,
    );
    refuseTooLittleSpace(disk.bavail * disk.bsize, Math.max(0, layout.byteLength - written), folder);
  }

  /** Keeps what an earlier run completed, or begins anew where the file and its journal do not fit together. */
  private async resume(layout: Pick<GgufLayout, 'header' | 'byteLength'>): Promise<void> {
    const complete = await this.complete();
    const size = await stat(this.path).then(
      (status) => status.size,
      () => -1,
    );
    if (complete.size === 0 || size !== layout.byteLength) {
      await this.start(layout);
      return;
    }
    await writeFile(this.journalPath, [...complete].map((name) => `${JSON.stringify(name)}\n`).join(''));
  }

  /** A file of the final size: the header in place, zeros (the padding) everywhere else. */
  private async start(layout: Pick<GgufLayout, 'header' | 'byteLength'>): Promise<void> {
    try {
      // First the journal: killed in between, its lines would vouch for zeros.
      await writeFile(this.journalPath, '');
      await writeFile(this.path, new Uint8Array(0));
      await truncate(this.path, layout.byteLength);
      const handle = await open(this.path, 'r+');
      try {
        await writeAt(handle, this.path, layout.header, 0);
      } finally {
        await handle.close();
      }
    } catch (error) {
      throw fileError(error, this.path, 'write');
    }
  }
}

function nameIn(line: string): string | null {
  try {
    const name: unknown = JSON.parse(line);
    return typeof name === 'string' ? name : null;
  } catch {
    return null;
  }
}

/** @throws BitsmithError `DISK_FULL` before a run begins that cannot end. */
export function refuseTooLittleSpace(freeBytes: number, neededBytes: number, folder: string): void {
  if (freeBytes >= neededBytes) return;
  throw new BitsmithError(
    'resources',
    'DISK_FULL',
    `expected ${neededBytes} bytes free on the disk of ${folder}, found ${freeBytes}`,
    {
      suggestion:
        'Free some space (`bitsmith cache gc` drops old artifacts), or put the output or --home on another disk.',
    },
  );
}
