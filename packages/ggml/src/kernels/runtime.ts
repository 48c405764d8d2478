/** @file WebAssembly as Node has it; described here, because TypeScript's own description comes with a browser's. */

export interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
  grow(pages: number): number;
}

/** A compiled module. Threads may share it. */
export type WasmModule = object;

interface WasmInstance {
  readonly exports: Readonly<Record<string, unknown>>;
}

interface WebAssemblyRuntime {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: true }) => WasmMemory;
  readonly Instance: new (module: WasmModule, imports: { env: { memory: WasmMemory } }) => WasmInstance;
  compile(bytes: Uint8Array): Promise<WasmModule>;
}

export const wasmRuntime = (globalThis as unknown as { readonly WebAssembly: WebAssemblyRuntime })
  .WebAssembly;
