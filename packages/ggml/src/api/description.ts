import type { GpuBackend } from '../binding/platform.js';

/** A device that a GPU engine computes on. */
export interface GpuDevice {
  /** As the engine numbers it, for example `Vulkan0`. */
  readonly name: string;
  /** As the driver names it. */
  readonly description: string;
}

/** What an engine is: enough to reproduce a number made with it. */
export interface EngineDescription {
  /** llama.cpp's version, as the library says it. */
  readonly release: string;
  readonly ggmlVersion: string;
  /** Commit that the libraries were built from. */
  readonly commit: string;
  /** Platform part of the package name. */
  readonly platform: string;
  readonly package: string;
  /** Version of the npm package. */
  readonly version: string;
  /** Which of the package's CPU libraries this processor runs, for example `haswell`. */
  readonly cpuLevel: string;
  /** The instruction sets in use, in llama.cpp's words. */
  readonly cpuFeatures: string;
  /** The GPUs in use; absent where only the CPU computes. */
  readonly gpu?: { readonly backend: GpuBackend; readonly devices: readonly GpuDevice[] };
  /** Whether the encoders' known bytes came out bit for bit; known after a probe only. */
  readonly bitExact?: boolean;
}
