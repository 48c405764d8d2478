/** @file The engine's release, part of every key of what it computes: another release may compute other bytes. */
import { engineRelease, type GpuBackend } from '@bitsmith/ggml/probe';

export const ENGINE_RELEASE: string = engineRelease;

/** What computes, as part of a task's key: a GPU rounds otherwise than the CPU. The CPU's keys name the release alone. */
export function engineKey(gpu: GpuBackend | undefined): { engine: string; gpu?: GpuBackend } {
  return gpu === undefined ? { engine: ENGINE_RELEASE } : { engine: ENGINE_RELEASE, gpu };
}
