/** @file A lane's thread: runs kernels over what the main thread has put into the memory that both share. */
import { parentPort, workerData } from 'node:worker_threads';
import { type WasmMemory, type WasmModule, wasmRuntime } from './runtime.js';

/** What a lane is started with. */
export interface LaneSettings {
  readonly memory: WasmMemory;
}

/** One call of a kernel; the numbers are `encode`'s arguments. */
export interface LaneJob {
  readonly module: WasmModule;
  readonly name: string;
  readonly parameters: readonly number[];
}

type Encode = (...parameters: readonly number[]) => void;

const { memory } = workerData as LaneSettings;
const encoders = new Map<string, Encode>();

parentPort?.on('message', ({ module, name, parameters }: LaneJob) => {
  let encode = encoders.get(name);
  if (encode === undefined) {
    encode = new wasmRuntime.Instance(module, { env: { memory } }).exports['encode'] as Encode;
    encoders.set(name, encode);
  }
  encode(...parameters);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage(null);
});
