/**
 * @file Gram matrices of what weight matrices are multiplied with: H = sum_t w_t x_t x_t' / sum_t w_t over positions t, with w_t the squared
 * gradient of all that reads x_t: a position counts as much as the loss depends on what is made of it. They hold what the
 * importance matrix leaves out: channels that move together, by which errors of neighbouring weights add up or cancel. Summed
 * in a fixed order of sequences, so that no number depends on the lanes.
 */
import { alignedFloats, computeOnce, type ComputeGraph, type Engine } from '@bitsmith/ggml';
import { blockTensorName } from '../transformer/block-weights.js';
import { EMBEDDING } from '../transformer/embedding.js';
import { SpanTriangle, triangleFloats } from './span-triangle.js';

/** The first of a block's readers of each input, in the order in which its graph multiplies, gives the matrix its name. */
const owners: ReadonlySet<string> = new Set(['attn_qkv', 'attn_q', 'attn_output', 'ffn_up', 'ffn_down']);

/** Those that read what another one reads. */
const sharers: Readonly<Record<string, string>> = { attn_k: 'attn_q', attn_v: 'attn_q', ffn_gate: 'ffn_up' };

/** The part of a block under whose name the Gram matrix of `part` is kept; null for what is no matrix. */
export function gramPartOf(part: string): string | null {
  const owner = sharers[part] ?? part;
  return owners.has(owner) ? owner : null;
}

/** Which Gram matrix is a tensor's: by whole names, of the ends without a block; null for what is no matrix. */
export function gramOf(tensor: string): { readonly block: number | null; readonly name: string } | null {
  if (tensor === 'output.weight' || tensor === EMBEDDING) return { block: null, name: tensor };
  const parts = /^blk\.(\d+)\.(\w+)\.weight$/.exec(tensor);
  const owner = parts === null ? null : gramPartOf(parts[2]);
  if (parts === null || owner === null) return null;
  const block = Number(parts[1]);
  return { block, name: blockTensorName(block, owner) };
}

/** Nodes of the graph that adds a band. */
const NODES = 8;

/** A part of a sum that can be added beside others. */
export interface GramBand {
  /** Multiplications of a batch, for each of its positions. */
  readonly work: number;
  add(signal?: AbortSignal): Promise<void>;
}

/** Adds up w x x' of one input, a batch of sequences at a time: half the matrix, which is symmetric. */
export class GramSum {
  /** To be added, in any order, between `close` and `open`. */
  readonly bands: readonly GramBand[];
  private readonly engine: Engine;
  private readonly width: number;
  /** Of a batch. */
  private readonly positions: number;
  /** [positions, width] */
  private readonly batch: Float32Array;
  private sum: SpanTriangle;
  /** Of each place of the batch: its positions' weights, summed. */
  private readonly placed: number[] = [];
  private filled = 0;
  private weight = 0;

  /** @param positions of a batch */
  constructor(engine: Engine, width: number, positions: number) {
    this.engine = engine;
    this.width = width;
    this.positions = positions;
    this.batch = alignedFloats(width * positions);
    this.sum = new SpanTriangle(width);
    this.bands = Array.from({ length: this.sum.spans }, (_, span) => ({
      work: this.sum.band(span).length,
      add: (signal) => this.addBand(span, signal),
    }));
  }

  /** Bytes of a sum, of the mean that is taken of it, and of the batch that is added. */
  static byteLength(width: number, positions: number): number {
    return 4 * (2 * triangleFloats(width) + width * positions);
  }

  /** Puts a sequence's inputs, [width, its positions], at its place in the batch. @param weights one a position */
  place(input: Float32Array, weights: Float32Array, at: number): void {
    const { width, batch, positions } = this;
    const start = at * weights.length;
    const roots = weights.map(Math.sqrt);
    for (let channel = 0; channel < width; channel++) {
      const row = channel * positions + start;
      for (let position = 0; position < roots.length; position++)
        batch[row + position] = roots[position] * input[position * width + channel];
    }
    this.placed[at] = weights.reduce((sum, weight) => sum + weight, 0);
    this.filled = Math.max(this.filled, start + weights.length);
  }

  /** The batch is complete: places that were not filled count as nothing. */
  close(): void {
    const { width, batch, positions, filled } = this;
    if (filled < positions)
      for (let channel = 0; channel < width; channel++)
        batch.fill(0, channel * positions + filled, (channel + 1) * positions);
    for (const weight of this.placed) this.weight += weight;
  }

  /** The batch was added: the next one begins. */
  open(): void {
    this.placed.length = 0;
    this.filled = 0;
  }

  /** The weighted mean so far; the next sum begins at nothing. */
  take(): SpanTriangle {
    const mean = this.sum;
    this.sum = new SpanTriangle(this.width);
    // Without any weight all sums are zero.
    mean.scale(1 / (this.weight === 0 ? 1 : this.weight));
    this.weight = 0;
    return mean;
  }

  private async addBand(span: number, signal?: AbortSignal): Promise<void> {
    const { sum, batch, positions } = this;
    const [band, first, size] = [sum.band(span), sum.firstOf(span), sum.sizeOf(span)];
    const end = first + size;
    const channels = (from: number, to: number): Float32Array =>
      batch.subarray(from * positions, to * positions);
    const build = (graph: ComputeGraph): void => {
      const own = graph.leaf(channels(first, end), positions, size);
      const before = graph.leaf(channels(0, end), positions, end);
      graph.store(graph.add(graph.leaf(band, size, end), graph.multiply(own, before)), band);
    };
    await computeOnce(this.engine, NODES, build, signal);
  }
}
