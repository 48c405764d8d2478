import type { StoredArtifact } from '@bitsmith/core';
import type { CliContext } from '../context.js';
import type { OutputFlags } from '../flags.js';
import { printResult } from '../session.js';

export interface CacheListFlags extends OutputFlags {
  readonly home?: string;
}

export interface CacheGcFlags extends CacheListFlags {
  readonly olderThan: number;
  readonly dryRun: boolean;
}

const dayMs = 24 * 60 * 60 * 1000;

export async function list(this: CliContext, flags: CacheListFlags): Promise<void> {
  const { ArtifactStore } = await import('@bitsmith/core');
  const { renderCache } = await import('../render/cache.js');
  const store = await ArtifactStore.open(flags.home);
  const artifacts = await store.list();
  const now = new Date();
  printResult(this, flags, {
    json: { home: store.home, byteLength: totalBytes(artifacts), artifacts },
    draw: (terminal) => renderCache(store.home, artifacts, now, terminal),
  });
}

export async function collect(this: CliContext, flags: CacheGcFlags): Promise<void> {
  const { ArtifactStore } = await import('@bitsmith/core');
  const { renderCollected } = await import('../render/cache.js');
  const store = await ArtifactStore.open(flags.home);
  const before = new Date(Date.now() - flags.olderThan * dayMs);
  const removed = flags.dryRun
    ? (await store.list()).filter(({ lastUsed }) => lastUsed < before)
    : await store.collect(before);
  printResult(this, flags, {
    json: { home: store.home, dryRun: flags.dryRun, byteLength: totalBytes(removed), removed },
    draw: () => renderCollected(removed, flags),
  });
}

function totalBytes(artifacts: readonly StoredArtifact[]): number {
  return artifacts.reduce((sum, { byteLength }) => sum + byteLength, 0);
}
