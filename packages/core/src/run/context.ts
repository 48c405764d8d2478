/** @file What every stage of a run shares: where artifacts live, the engine, threads, the seed and the way to stop. */
import os from 'node:os';
import { BitsmithError } from '@bitsmith/formats';
import { type GpuBackend, locateGpuEngine } from '@bitsmith/ggml/probe';
import { EngineHost } from '../engine/host.js';
import { trustedEngine } from '../engine/trusted.js';
import { ArtifactStore } from './store.js';

export interface RunContext {
  readonly store: ArtifactStore;
  readonly engine: EngineHost;
  readonly threads: number;
  /** The backend of the GPU that models run on; absent where the CPU does everything. */
  readonly gpu?: GpuBackend;
  readonly seed: number;
  readonly signal: AbortSignal | undefined;
}

export interface RunOptions {
  /** Folder of artifacts and records; default `BITSMITH_HOME` or `.bitsmith` in the working folder. */
  readonly home?: string;
  /** Default: the cores this process may use. */
  readonly threads?: number;
  /** Default 1. The same seed gives the same bytes for any number of threads. */
  readonly seed?: number;
  /** Show the engine's own log. */
  readonly verbose?: boolean;
  /**
   * Runs models on the GPU, by the GPU engine that is installed: calibration and evaluation. Probes and encoding stay on
   * the CPU. Default false.
   */
  readonly gpu?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Opens a run, lets `body` work in it, and ends the engine however `body` ends.
 * @throws BitsmithError `THREADS_INVALID`; with `gpu` also `ENGINE_GPU_NOT_INSTALLED`, `ENGINE_GPU_NO_DEVICE`
 */
export async function* inRun<Event, Result>(
  options: RunOptions,
  body: (run: RunContext) => AsyncGenerator<Event, Result, void>,
): AsyncGenerator<Event, Result, void> {
  options.signal?.throwIfAborted();
  const cores = os.availableParallelism();
  const threads = options.threads ?? cores;
  if (!Number.isInteger(threads) || threads < 1 || threads > cores) {
    throw new BitsmithError(
      'arguments',
      'THREADS_INVALID',
      `expected 1 to ${cores} threads on this machine, found ${threads}`,
    );
  }
  const gpu = options.gpu === true ? locateGpuEngine().gpu : undefined;
  const engine = new EngineHost({ threads, verbose: options.verbose ?? false, gpu: gpu !== undefined });
  try {
    const store = await ArtifactStore.open(options.home);
    await trustedEngine(store, options.signal, gpu);
    return yield* body({ store, engine, threads, gpu, seed: options.seed ?? 1, signal: options.signal });
  } finally {
    await engine.close();
  }
}
