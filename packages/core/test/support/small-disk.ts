/** @file A small disk of its own, where this machine allows it. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rmdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

/** Mounts a disk in memory with `options` and runs `body` on it; false when the system does not let this process mount. */
export async function onDisk(options: string, body: (folder: string) => Promise<void>): Promise<boolean> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'bitsmith-disk-'));
  try {
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder]).status !== 0) return false;
    try {
      await body(folder);
    } finally {
      spawnSync('umount', [folder]);
    }
    return true;
  } finally {
    await rmdir(folder);
  }
}
