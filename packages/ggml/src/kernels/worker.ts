/**
 * @file A lane's thread: decodes and encodes rows in the memory that it shares with the main thread, a few rows at a time, so
 * that floats stay in the cache between the two.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { isSuited, type ImportanceLimits } from '../api/importance-scale.js';
import { largestMagnitude, type LaneSource } from './decode.js';
import { type WasmMemory, type WasmModule, wasmRuntime } from './runtime.js';

/** What a lane is started with. */
export interface LaneSettings {
  readonly memory: WasmMemory;
}

/** Code by name: a lane keeps what it has met. */
export interface LaneCode {
  readonly name: string;
  readonly module: WasmModule;
}

/** Rows to encode; places are addresses in the lane's memory. */
export interface LaneJob {
  readonly decoder: LaneCode;
  readonly kernel: LaneCode;
  readonly source: LaneSource;
  readonly rows: number;
  readonly sourceRowBytes: number;
  readonly targetRowBytes: number;
  readonly blocksPerRow: number;
  /** Rows decoded at once, and where their floats go. */
  readonly rowsAtOnce: number;
  readonly places: {
    readonly source: number;
    readonly importance: number;
    readonly values: number;
    readonly target: number;
  };
  /** What the weights must keep to; otherwise nothing is promised of the target. */
  readonly limits: ImportanceLimits;
}

type Run = (...parameters: readonly number[]) => void;

const { memory } = workerData as LaneSettings;
const known = new Map<string, Run>();

function runnable({ name, module }: LaneCode): Run {
  let run = known.get(name);
  if (run === undefined) {
    run = new wasmRuntime.Instance(module, { env: { memory } }).exports['run'] as Run;
    known.set(name, run);
  }
  return run;
}

/** False when the weights are none that the kernel may take. */
function work(job: LaneJob): boolean {
  const { source, rows, rowsAtOnce, sourceRowBytes, targetRowBytes, blocksPerRow, places, limits } = job;
  const decode = runnable(job.decoder);
  const encode = runnable(job.kernel);
  for (let row = 0; row < rows; row += rowsAtOnce) {
    const count = Math.min(rowsAtOnce, rows - row);
    decode(places.source + row * sourceRowBytes, places.values, count * sourceRowBytes);
    if (!isSuited(largestMagnitude(source, memory.buffer), limits)) return false;
    encode(places.values, places.importance, places.target + row * targetRowBytes, count, blocksPerRow);
  }
  return true;
}

parentPort?.on('message', (job: LaneJob) => {
  const done = work(job);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage(done);
});
