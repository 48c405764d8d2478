/** @file The engine, tried once on this machine before it is trusted; the verdict is kept until engine, Node or CPU change. */
import os from 'node:os';
import { type EngineDescription, type GpuBackend, probeEngine } from '@bitsmith/ggml/probe';
import type { ArtifactStore, TaskIdentity } from '../run/store.js';
import { engineKey } from './release.js';

/**
 * What the engine is, after it passed its probe here.
 * @param gpu the backend of the GPU engine to try; without it the CPU's
 * @throws BitsmithError `ENGINE_NOT_INSTALLED`, `ENGINE_PROBE_FAILED`, `ENGINE_UNSUPPORTED_PLATFORM`,
 *   `ENGINE_GPU_NO_DEVICE`
 */
export async function trustedEngine(
  store: ArtifactStore,
  signal?: AbortSignal,
  gpu?: GpuBackend,
): Promise<EngineDescription> {
  const task: TaskIdentity = {
    kind: 'engine-probe',
    version: 1,
    parameters: {
      ...engineKey(gpu),
      node: process.versions.node,
      platform: `${process.platform}-${process.arch}`,
      processor: os.cpus()[0]?.model ?? 'unknown',
      system: os.release(),
    },
    inputs: {},
  };
  const known = await store.readJson<EngineDescription>(task);
  if (known !== null) return known;
  const description = await probeEngine({ signal, gpu: gpu !== undefined });
  await store.writeJson(task, description);
  return description;
}
