/** @file The engine, tried once on this machine before it is trusted; the verdict is kept until engine, Node or CPU change. */
import os from 'node:os';
import { type EngineDescription, probeEngine } from '@bitsmith/ggml/probe';
import type { ArtifactStore, TaskIdentity } from '../run/store.js';
import { ENGINE_RELEASE } from './release.js';

/**
 * What the engine is, after it passed its probe here.
 * @throws BitsmithError `ENGINE_NOT_INSTALLED`, `ENGINE_PROBE_FAILED`, `ENGINE_UNSUPPORTED_PLATFORM`
 */
export async function trustedEngine(store: ArtifactStore, signal?: AbortSignal): Promise<EngineDescription> {
  const task: TaskIdentity = {
    kind: 'engine-probe',
    version: 1,
    parameters: {
      engine: ENGINE_RELEASE,
      node: process.versions.node,
      platform: `${process.platform}-${process.arch}`,
      processor: os.cpus()[0]?.model ?? 'unknown',
      system: os.release(),
    },
    inputs: {},
  };
  const known = await store.readJson<EngineDescription>(task);
  if (known !== null) return known;
  const description = await probeEngine({ signal });
  await store.writeJson(task, description);
  return description;
}
