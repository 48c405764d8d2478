/**
 * @file Encoding a plan into the unfinished output in the work folder. Its place there is fixed by what it will contain,
 * so an interrupted run finds it again and continues after the last complete tensor.
 */
import { mkdir, open, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BitsmithError, type GgufLayout, type TensorType } from '@bitsmith/formats';
import type { Calibration } from '../calibrate/calibrate.js';
import { ENGINE_RELEASE } from '../engine/release.js';
import { fileError } from '../io/file-errors.js';
import { writeAt } from '../io/file-sink.js';
import { sha256 } from '../io/hash.js';
import type { SourceModel } from '../model/types.js';
import type { RunContext } from '../run/context.js';
import type { RunEvent, Work } from '../run/events.js';
import { taskKey } from '../run/store.js';
import { stage, streamed, withNewEngineAfterCrash } from '../run/work.js';
import { acquireLock } from '../run/lock.js';

/** A complete file in the work folder, and the journal that says so until the file has its final name. */
export interface EncodedFile {
  readonly path: string;
  readonly journalPath: string;
}

/** Encodes every tensor of the layout into a file that is complete but not published yet. */
export async function* encode(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  layout: GgufLayout,
): Work<EncodedFile> {
  return yield* stage('encode', `${layout.tensors.length} tensors`, async function* () {
    const unfinished = await UnfinishedOutput.open(run, model, calibration, layout);
    try {
      const cached = (await unfinished.complete()).size === layout.tensors.length;
      yield* encodeMissing(run, model, calibration, layout, unfinished);
      const { path: filePath, journalPath } = unfinished;
      const summary = `${model.parameterCount.toLocaleString('en')} weights`;
      return { result: { path: filePath, journalPath }, summary, cached };
    } finally {
      await unfinished.release();
    }
  });
}

async function* encodeMissing(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  layout: GgufLayout,
  unfinished: UnfinishedOutput,
): AsyncGenerator<RunEvent, void, void> {
  const weights = new Map(model.tensors.map((tensor) => [tensor.name, tensor.elements]));
  const total = model.parameterCount;
  yield* streamed<RunEvent, void>((emit) =>
    withNewEngineAfterCrash(
      async () => layout.tensors.length - (await unfinished.complete()).size,
      async () => {
        const complete = await unfinished.complete();
        let done = 0;
        for (const name of complete) done += weights.get(name) ?? 0;
        await run.engine.run(
          'encode',
          {
            files: model.files.map((file) => file.path),
            importancePath: calibration.path,
            outputPath: unfinished.path,
            journalPath: unfinished.journalPath,
            tensors: layout.tensors
              .filter((tensor) => !complete.has(tensor.name))
              .map(({ name, type, offset }) => ({ name, scheme: type as TensorType, offset })),
          },
          {
            signal: run.signal,
            onEvent: (event) => {
              done += event.weights;
              emit({ type: 'progress', stage: 'encode', done, total, unit: 'weights', item: event.tensor });
            },
          },
        );
      },
      (error) => emit({ type: 'note', level: 'warning', message: error.message }),
    ),
  );
}

/** The output while it is being made, with the journal of its complete tensors. */
class UnfinishedOutput {
  readonly path: string;
  readonly journalPath: string;
  readonly release: () => Promise<void>;

  private constructor(base: string, release: () => Promise<void>) {
    this.path = `${base}.gguf`;
    this.journalPath = `${base}.journal`;
    this.release = release;
  }

  static async open(
    run: RunContext,
    model: SourceModel,
    calibration: Calibration,
    layout: GgufLayout,
  ): Promise<UnfinishedOutput> {
    const key = taskKey({
      kind: 'encode',
      version: 1,
      parameters: { engine: ENGINE_RELEASE, header: sha256(layout.header), byteLength: layout.byteLength },
      inputs: { model: model.sha256, importance: calibration.sha256 },
    });
    const base = path.join(run.store.workFolder, key);
    await mkdir(run.store.workFolder, { recursive: true });
    const output = new UnfinishedOutput(base, await acquireLock(`${base}.lock`));
    try {
      await output.resume(layout);
      return output;
    } catch (error) {
      await output.release();
      throw error;
    }
  }

  /** Names of the tensors whose bytes are all in place. A torn last line, from a killed process, does not count. */
  async complete(): Promise<Set<string>> {
    let journal: string;
    try {
      journal = await readFile(this.journalPath, 'utf8');
    } catch {
      return new Set();
    }
    return new Set(
      journal
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as string),
    );
  }

  /** Keeps what an earlier run completed, or begins anew where the file and its journal do not fit together. */
  async resume(layout: GgufLayout): Promise<void> {
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
  private async start(layout: GgufLayout): Promise<void> {
    try {
      await writeFile(this.path, new Uint8Array(0));
      await truncate(this.path, layout.byteLength);
      const handle = await open(this.path, 'r+');
      try {
        await writeAt(handle, this.path, layout.header, 0);
      } finally {
        await handle.close();
      }
      await writeFile(this.journalPath, '');
    } catch (error) {
      throw fileError(error, this.path, 'write');
    }
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
