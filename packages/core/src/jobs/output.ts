/** @file Where results may go: never over what they are made from, and only where they can be written when the work is done. */
import { randomUUID } from 'node:crypto';
import { open, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { BitsmithError } from '@bitsmith/formats';
import { fileError } from '../io/file-errors.js';
import { isModelFile } from '../model/open.js';
import type { SourceModel } from '../model/types.js';

/**
 * Fails before hours of work when an output could not be written at the end.
 * @throws BitsmithError `OUTPUT_READ_ONLY`, `FOLDER_NOT_FOUND`, `FILE_IS_FOLDER`, `OUTPUT_NOT_FILE`, `DISK_FULL`
 */
export async function refuseUnwritable(output: string): Promise<void> {
  const target = path.resolve(output);
  const status = await stat(target).catch(() => null);
  if (status?.isDirectory() === true) {
    throw new BitsmithError(
      'arguments',
      'FILE_IS_FOLDER',
      `expected a file to write, found a folder: ${target}`,
      {
        suggestion: 'Name a file in it.',
      },
    );
  }
  // Output appears by renaming, which would replace a device or pipe.
  if (status !== null && !status.isFile()) {
    throw new BitsmithError(
      'arguments',
      'OUTPUT_NOT_FILE',
      `expected a file to write, found a device or pipe: ${target}`,
      { suggestion: 'Name another file with -o.' },
    );
  }
  await tryToWrite(target);
}

/** Only writing tells: permissions, read-only disks and special folders each have a way of their own to refuse. */
async function tryToWrite(target: string): Promise<void> {
  const trial = path.join(path.dirname(target), `.${path.basename(target)}.${randomUUID().slice(0, 8)}.tmp`);
  try {
    await (await open(trial, 'wx')).close();
    await rm(trial);
  } catch (error) {
    throw fileError(error, target, 'write');
  }
}

/**
 * The source is never written to: neither the files that are read nor those that were converted.
 * @throws BitsmithError `OUTPUT_IS_SOURCE`
 */
export async function refuseSource(output: string, model: SourceModel): Promise<void> {
  const target = await stat(output, { bigint: true }).catch(() => null);
  if (target === null) return;
  const sources = model.files.map((file) => file.path);
  if (isModelFile(output)) sources.push(path.join(model.location, path.basename(output)));
  for (const file of sources) {
    const source = await stat(file, { bigint: true }).catch(() => null);
    if (source === null || source.ino !== target.ino || source.dev !== target.dev) continue;
    throw new BitsmithError(
      'arguments',
      'OUTPUT_IS_SOURCE',
      `expected an output other than the source, found ${output} as both`,
      { suggestion: 'Name another file with -o.' },
    );
  }
}
