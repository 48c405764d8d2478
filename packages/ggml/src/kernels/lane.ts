/** @file One thread with a memory that it shares with the main thread: rows go in, bytes come out. */
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { FREE, SUPER_BLOCK } from './layout.js';
import { type WasmModule, wasmRuntime } from './runtime.js';
import type { LaneJob, LaneSettings } from './worker.js';

const PAGE_BYTES = 65_536;
/** Address space of a lane; pages are taken as rows ask for them. */
export const LANE_PAGES = 1024;

/** A kernel ready to run. */
export interface CompiledKernel {
  readonly name: string;
  readonly module: WasmModule;
  readonly constants: readonly { readonly address: number; readonly values: Float32Array }[];
}

export interface LaneRequest {
  readonly values: Float32Array;
  readonly importance: Float32Array;
  readonly target: Uint8Array;
  readonly rows: number;
  readonly rowLength: number;
}

/** Whether a request fits into a lane's address space. */
export function fitsLane(request: LaneRequest): boolean {
  return placesOf(request).end <= LANE_PAGES * PAGE_BYTES;
}

function placesOf({ values, importance, target }: LaneRequest) {
  const valuesAt = FREE + importance.byteLength;
  const targetAt = valuesAt + values.byteLength;
  return { valuesAt, targetAt, end: targetAt + target.byteLength };
}

export class Lane {
  private readonly memory = new wasmRuntime.Memory({ initial: 1, maximum: LANE_PAGES, shared: true });
  private readonly worker: Worker;

  constructor() {
    const entry = createRequire(import.meta.url).resolve('@bitsmith/ggml/kernel-worker');
    const settings: LaneSettings = { memory: this.memory };
    this.worker = new Worker(entry, { workerData: settings, execArgv: [] });
    this.worker.unref();
  }

  /** Encodes rows by a kernel. One request at a time. */
  async encode(kernel: CompiledKernel, request: LaneRequest): Promise<void> {
    const { values, importance, target, rows, rowLength } = request;
    const { valuesAt, targetAt, end } = placesOf(request);
    this.reserve(end);
    const { buffer } = this.memory;
    for (const constant of kernel.constants) {
      new Float32Array(buffer, constant.address, constant.values.length).set(constant.values);
    }
    new Float32Array(buffer, FREE, importance.length).set(importance);
    new Float32Array(buffer, valuesAt, values.length).set(values);
    const { module, name } = kernel;
    await this.run({ module, name, parameters: [valuesAt, FREE, targetAt, rows, rowLength / SUPER_BLOCK] });
    target.set(new Uint8Array(buffer, targetAt, target.byteLength));
  }

  private reserve(bytes: number): void {
    const missing = Math.ceil((bytes - this.memory.buffer.byteLength) / PAGE_BYTES);
    if (missing > 0) this.memory.grow(missing);
  }

  /** The thread holds the process open only while it works. */
  private async run(job: LaneJob): Promise<void> {
    const { worker } = this;
    worker.ref();
    try {
      await new Promise<void>((resolve, reject) => {
        const settle = (error?: unknown): void => {
          worker.off('message', done).off('error', settle);
          if (error === undefined) resolve();
          else reject(error);
        };
        const done = (): void => settle();
        worker.once('message', done).once('error', settle);
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
        worker.postMessage(job);
      });
    } finally {
      worker.unref();
    }
  }
}
