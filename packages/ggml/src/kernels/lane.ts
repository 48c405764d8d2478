/** @file One thread with a memory that it shares with the main thread: stored rows go in, encoded rows come out. */
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import type { ImportanceLimits } from '../api/importance-scale.js';
import type { LaneSource } from './decode.js';
import { FREE, PAGE_BYTES, TABLE_PAGES } from './layout.js';
import { wasmRuntime } from './runtime.js';
import type { LaneCode, LaneJob, LaneSettings } from './worker.js';

/** Address space of a lane; pages are taken as rows ask for them. */
export const LANE_PAGES = TABLE_PAGES + 1024;
/** Weights decoded at once, about: their floats fit into a core's own cache. */
const VALUES_AT_ONCE = 1 << 14;

export interface CompiledKernel extends LaneCode {
  readonly constants: readonly { readonly address: number; readonly values: Float32Array }[];
  /** What it looks up, and where; kernels of one grid share it. */
  readonly tables: { readonly address: number; readonly bytes: Uint8Array } | null;
  readonly blockSize: number;
}

export interface LaneRequest {
  readonly source: LaneSource;
  /** `rows` x `rowLength` floats as they are stored. */
  readonly bytes: Uint8Array;
  readonly rows: number;
  readonly rowLength: number;
  readonly importance: Float32Array | undefined;
  readonly limits: ImportanceLimits;
  readonly target: Uint8Array;
}

/** Where things go in a lane's memory. */
function planOf({ bytes, rows, rowLength, importance, target }: LaneRequest) {
  const rowsAtOnce = Math.min(rows, Math.max(1, Math.floor(VALUES_AT_ONCE / rowLength)));
  const aligned = (address: number): number => Math.ceil(address / 16) * 16;
  const values = aligned(FREE + (importance?.byteLength ?? 0));
  const source = values + rowsAtOnce * rowLength * 4;
  const output = aligned(source + bytes.byteLength);
  return {
    rowsAtOnce,
    places: { importance: FREE, values, source, target: output },
    end: output + target.byteLength,
  };
}

/** Whether a request fits into a lane's address space. */
export function fitsLane(request: LaneRequest): boolean {
  return planOf(request).end <= LANE_PAGES * PAGE_BYTES;
}

export class Lane {
  private readonly memory = new wasmRuntime.Memory({ initial: 1, maximum: LANE_PAGES, shared: true });
  private readonly worker: Worker;
  private ended = false;
  /** Addresses of the tables that stand in memory. */
  private readonly placed = new Set<number>();

  constructor() {
    const entry = createRequire(import.meta.url).resolve('@bitsmith/ggml/kernel-worker');
    const settings: LaneSettings = { memory: this.memory };
    this.worker = new Worker(entry, { workerData: settings, execArgv: [] });
    this.worker.unref();
    this.worker.once('exit', () => {
      this.ended = true;
    });
  }

  /** False once its thread has ended: then it can do nothing more. */
  get alive(): boolean {
    return !this.ended;
  }

  /** Encodes rows; one request at a time. False when the weights are beyond the limits: the target is then as it was. */
  async encode(decoder: LaneCode, kernel: CompiledKernel, request: LaneRequest): Promise<boolean> {
    const { source, bytes, rows, rowLength, importance, limits, target } = request;
    const { rowsAtOnce, places, end } = planOf(request);
    this.reserve(end);
    const { buffer } = this.memory;
    for (const { address, values } of kernel.constants)
      new Float32Array(buffer, address, values.length).set(values);
    this.place(kernel.tables);
    if (importance !== undefined)
      new Float32Array(buffer, places.importance, importance.length).set(importance);
    new Uint8Array(buffer, places.source, bytes.byteLength).set(bytes);
    const done = await this.run({
      decoder: { name: decoder.name, module: decoder.module },
      kernel: { name: kernel.name, module: kernel.module },
      source,
      rows,
      sourceRowBytes: bytes.byteLength / rows,
      targetRowBytes: target.byteLength / rows,
      blocksPerRow: rowLength / kernel.blockSize,
      rowsAtOnce,
      places,
      limits,
    });
    if (done) target.set(new Uint8Array(buffer, places.target, target.byteLength));
    return done;
  }

  private place(tables: CompiledKernel['tables']): void {
    if (tables === null || this.placed.has(tables.address)) return;
    new Uint8Array(this.memory.buffer, tables.address, tables.bytes.byteLength).set(tables.bytes);
    this.placed.add(tables.address);
  }

  private reserve(bytes: number): void {
    const missing = Math.ceil((bytes - this.memory.buffer.byteLength) / PAGE_BYTES);
    if (missing > 0) this.memory.grow(missing);
  }

  /** The thread holds the process open only while it works. */
  private async run(job: LaneJob): Promise<boolean> {
    const { worker } = this;
    worker.ref();
    try {
      return await new Promise<boolean>((resolve, reject) => {
        const done = (answer: boolean): void => {
          worker.off('error', failed);
          resolve(answer);
        };
        const failed = (error: unknown): void => {
          this.ended = true;
          worker.off('message', done);
          reject(error);
        };
        worker.once('message', done).once('error', failed);
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
        worker.postMessage(job);
      });
    } finally {
      worker.unref();
    }
  }
}
