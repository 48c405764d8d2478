/**
 * @file What rounding one slab works on: taken from those that are free, and given back. Arrays grow to the largest slab and stay, so that
 * nothing waits to be collected from slab to slab; threads read and write them where they lie.
 */
import { SPAN } from '../../gram/span.js';

/** Slabs of more weights than this are rare: their memory is not kept. */
const MOST_KEPT = 1 << 21;

export class SlabMemory {
  private readonly arrays = new Map<string, Float32Array<SharedArrayBuffer>>();
  private bytes = new Uint8Array(new SharedArrayBuffer(0));
  private weights = 0;

  /** The codes of the nearest, decoded: [row length, rows] */
  nearest(length: number): Float32Array<SharedArrayBuffer> {
    return this.floats('nearest', length);
  }

  /** What codes with feedback stand for: [row length, rows] */
  kept(length: number): Float32Array<SharedArrayBuffer> {
    return this.floats('kept', length);
  }

  /** Errors of every span, [its size, rows] each, one after the other; targets of a span until it is decided. */
  errors(length: number): Float32Array<SharedArrayBuffer> {
    return this.floats('errors', length);
  }

  /** What errors of earlier spans move the targets of one by: [its size, rows] */
  moved(rows: number): Float32Array<SharedArrayBuffer> {
    return this.floats('moved', SPAN * rows);
  }

  /** Codes of a span. */
  codes(length: number): Uint8Array<SharedArrayBuffer> {
    if (this.bytes.length < length) this.bytes = new Uint8Array(new SharedArrayBuffer(length));
    return this.bytes.subarray(0, length);
  }

  get isLarge(): boolean {
    return this.weights > MOST_KEPT;
  }

  private floats(name: string, length: number): Float32Array<SharedArrayBuffer> {
    const known = this.arrays.get(name);
    const array =
      known === undefined || known.length < length
        ? new Float32Array(new SharedArrayBuffer(4 * length))
        : known;
    this.arrays.set(name, array);
    this.weights = Math.max(this.weights, length);
    return array.subarray(0, length);
  }
}

const free: SlabMemory[] = [];

/** Has `work` use memory that nothing else uses meanwhile. */
export async function withSlabMemory<Result>(work: (memory: SlabMemory) => Promise<Result>): Promise<Result> {
  const memory = free.pop() ?? new SlabMemory();
  const result = await work(memory);
  // Not after a failure: a thread may still be writing.
  if (!memory.isLarge) free.push(memory);
  return result;
}
