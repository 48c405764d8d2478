/** @file The jobs as a user runs them, on the bundled model, small enough for a test. */
import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { openModel } from '../../src/model/open.js';
import { inRun } from '../../src/run/context.js';
import type { RunEvent, Work } from '../../src/run/events.js';

const repository = fileURLToPath(new URL('../../../../', import.meta.url));

/** The bundled model: a Hugging Face folder. */
export const orator = path.join(repository, 'models', 'orator-8m');
export const golden = fileURLToPath(new URL('../golden/', import.meta.url));

export interface Finished<Result> {
  readonly result: Result;
  readonly events: readonly RunEvent[];
}

/** Runs a job to its end; `onEvent` sees every event as it comes. */
export async function runJob<Result>(
  work: Work<Result>,
  onEvent: (event: RunEvent) => void = () => undefined,
): Promise<Finished<Result>> {
  const events: RunEvent[] = [];
  for (;;) {
    const step = await work.next();
    if (step.done === true) return { result: step.value, events };
    events.push(step.value);
    onEvent(step.value);
  }
}

/** A plan of the golden folder as a file for the bundled model, whose hash as a GGUF the converter decides. */
export async function goldenPlan(name: string, home: string): Promise<string> {
  const work = inRun({ home, threads: 1 }, (run) => openModel(orator, { store: run.store }));
  const { sha256 } = (await runJob(work)).result;
  const plan = await readFile(path.join(golden, name), 'utf8');
  const file = path.join(home, name);
  await writeFile(file, plan.replace(/^ {2}sha256: .*$/m, `  sha256: ${sha256}`));
  return file;
}

export async function hashOf(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
}

/** Every file under a folder with its hash: what must be the same before and after. */
export async function snapshot(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
  const hashes = await Promise.all(
    files.map(async (file) => [path.relative(folder, file), await hashOf(file)]),
  );
  return Object.fromEntries(hashes);
}
