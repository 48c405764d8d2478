/**
 * @file The loaded engine: one per process, for libraries cannot be unloaded safely and their tables are process-global.
 * Everything else in this package takes it as its first argument.
 */
import { BitsmithError } from '@bitsmith/formats';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { gpuNoDevice, locateGpuEngine, type GpuEngineLocation } from '../binding/gpu.js';
import { deviceTypes } from '../binding/layout.js';
import { loadLibraries, type NativeFunctions, type NativeLibraries } from '../binding/libraries.js';
import { cpuLevelOf, engineCommit, locateEngine, type EngineLocation } from '../binding/platform.js';
import type { Address } from '../binding/structs.js';
import type { EngineDescription } from './description.js';
import { NativeLog } from './log.js';
import { misuse } from './validate.js';

export interface EngineOptions {
  /** Threads for computing; all that the machine offers unless told. */
  threads?: number;
  /** True: native log lines go to the process's stderr. False: they are collected for error messages only. */
  verbose?: boolean;
  /** True: takes the GPU engine that is installed (CUDA, Vulkan, Metal). Models still open on the CPU unless told. */
  gpu?: boolean;
}

/** The native engine of this process. */
export interface Engine {
  readonly description: EngineDescription;
  readonly threads: number;
  /** @internal */
  readonly native: NativeFunctions;
  /** @internal */
  readonly log: NativeLog;
}

let loaded: Engine | undefined;

/**
 * Loads the engine, once a process: a second call returns the same engine, whatever its options.
 * @throws BitsmithError `ENGINE_NOT_INSTALLED`, `ENGINE_UNSUPPORTED_PLATFORM`, `ENGINE_UNSUPPORTED_LIBC`,
 *   `ENGINE_VERSION`, `THREAD_COUNT`; with `gpu` also `ENGINE_GPU_NOT_INSTALLED`, `ENGINE_GPU_NO_DEVICE`,
 *   `ENGINE_GPU_UNSUPPORTED`, and `ENGINE_GPU_NOT_LOADED` after a first call without
 */
export function loadEngine(options: EngineOptions = {}): Engine {
  loaded ??= load(options);
  if (options.gpu === true) assertGpu(loaded);
  return loaded;
}

/** @throws BitsmithError `ENGINE_GPU_NOT_LOADED` */
export function assertGpu({ description }: Engine): void {
  if (description.gpu !== undefined) return;
  throw misuse(
    'ENGINE_GPU_NOT_LOADED',
    'an engine that was loaded for the GPU',
    'one for the CPU alone',
    'Load it with gpu: true, before anything else loads it.',
  );
}

function load({ threads = availableParallelism(), verbose = false, gpu = false }: EngineOptions): Engine {
  assertThreads(threads);
  const gpuLocation = gpu ? locateGpuEngine() : undefined;
  const location = gpuLocation ?? locateEngine();
  const libraries = loadLibraries(location);
  const native = libraries.functions;
  const commit = native.ggml_commit();
  if (commit !== engineCommit) {
    throw new BitsmithError(
      'engine',
      'ENGINE_VERSION',
      `expected an engine built from llama.cpp ${engineCommit}, found ${commit}: its structs would be misread`,
      { suggestion: `npm install ${location.packageName}@${location.version}` },
    );
  }
  const log = new NativeLog(native, libraries.silentLog, verbose);
  native.llama_backend_init();
  native.ggml_backend_load_all_from_path(location.directory);
  if (native.ggml_backend_dev_count() === 0) {
    throw new BitsmithError(
      'engine',
      'ENGINE_NO_DEVICE',
      `expected a CPU library in ${location.packageName} that this processor can run, found none`,
      { suggestion: 'Reinstall the package, or run on a 64-bit processor of the last 15 years.' },
    );
  }
  const description = describe(location, libraries);
  if (gpuLocation === undefined) return { description, threads, native, log };
  return { description: { ...description, gpu: findGpus(gpuLocation, native) }, threads, native, log };
}

/** @throws BitsmithError `ENGINE_GPU_NO_DEVICE` */
function findGpus(location: GpuEngineLocation, native: NativeFunctions): EngineDescription['gpu'] {
  const { gpu: backend, fallbackDirectory } = location;
  let devices = gpuDevices(native);
  if (devices.length === 0 && fallbackDirectory !== null) {
    native.ggml_backend_load_all_from_path(fallbackDirectory);
    devices = gpuDevices(native);
  }
  if (devices.length === 0) throw gpuNoDevice(location);
  return {
    backend,
    devices: devices.map((device) => ({
      name: native.ggml_backend_dev_name(device),
      description: native.ggml_backend_dev_description(device),
    })),
  };
}

/** @internal The native devices that are GPUs. */
export function gpuDevices(native: NativeFunctions): Address[] {
  const count = Number(native.ggml_backend_dev_count());
  return Array.from({ length: count }, (_, index) => native.ggml_backend_dev_get(index)).filter((device) => {
    const type = native.ggml_backend_dev_type(device);
    return type === deviceTypes.gpu || type === deviceTypes.integratedGpu;
  });
}

function describe(location: EngineLocation, libraries: NativeLibraries): EngineDescription {
  const native = libraries.functions;
  return {
    release: native.llama_version(),
    ggmlVersion: native.ggml_version(),
    commit: native.ggml_commit(),
    platform: location.platform,
    package: location.packageName,
    version: location.version,
    cpuLevel: bestCpuLevel(location, libraries),
    cpuFeatures: native.llama_print_system_info().trim(),
  };
}

/** The level whose library scores highest here: the one that the engine's own loader took. */
function bestCpuLevel(location: EngineLocation, libraries: NativeLibraries): string {
  let best = { level: 'default', score: 0 };
  for (const file of readdirSync(location.directory)) {
    const level = cpuLevelOf(file);
    if (level === null || level === 'default') continue;
    const score = libraries.scoreOf(join(location.directory, file));
    if (score > best.score) best = { level, score };
  }
  return best.level;
}

/** @throws BitsmithError `THREAD_COUNT` */
export function assertThreads(threads: number): void {
  const most = availableParallelism();
  if (Number.isInteger(threads) && threads >= 1 && threads <= most) return;
  throw new BitsmithError(
    'arguments',
    'THREAD_COUNT',
    `expected 1 to ${most} threads (the processors of this machine), found ${threads}`,
    { suggestion: `Use --threads ${most} or fewer.` },
  );
}
