/**
 * @file Gram matrices of what weight matrices are multiplied with: H = sum_t w_t x_t x_t' / sum_t w_t over positions t, with w_t the squared
 * gradient of all that reads x_t: a position counts as much as the loss depends on what is made of it. They hold what the
 * importance matrix leaves out: channels that move together, by which errors of neighbouring weights add up or cancel. Summed
 * in a fixed order of sequences, so that no number depends on the lanes.
 */
import { alignedFloats, ComputeGraph, type Engine } from '@bitsmith/ggml';

/** The first of a block's readers of each input, in the order in which its graph multiplies, gives the matrix its name. */
const owners: ReadonlySet<string> = new Set(['attn_qkv', 'attn_q', 'attn_output', 'ffn_up', 'ffn_down']);

/** Those that read what another one reads. */
const sharers: Readonly<Record<string, string>> = { attn_k: 'attn_q', attn_v: 'attn_q', ffn_gate: 'ffn_up' };

/** The part of a block under whose name the Gram matrix of `part` is kept; null for what is no matrix. */
export function gramPartOf(part: string): string | null {
  const owner = sharers[part] ?? part;
  return owners.has(owner) ? owner : null;
}

/** Adds up w x x' of one input, a batch of sequences at a time. */
export class GramSum {
  /** [width, width] */
  private readonly sum: Float32Array;
  private readonly batch: Float32Array;
  /** Of each place of the batch: its positions' weights, summed. */
  private readonly placed: number[] = [];
  private readonly graph: ComputeGraph;
  private readonly width: number;
  private filled = 0;
  private weight = 0;

  /** @param positions of a batch */
  constructor(engine: Engine, width: number, positions: number) {
    this.width = width;
    this.sum = alignedFloats(width * width);
    this.batch = alignedFloats(width * positions);
    this.graph = new ComputeGraph(engine, 32);
    const x = this.graph.transpose(this.graph.leaf(this.batch, width, positions));
    const sum = this.graph.leaf(this.sum, width, width);
    this.graph.store(this.graph.add(sum, this.graph.multiply(x, x)), this.sum);
  }

  /** Bytes of a sum, of the batch that is added, and of the graph that does it. */
  static byteLength(width: number, positions: number): number {
    return 4 * (3 * width * width + 2 * width * positions);
  }

  /** Puts a sequence's inputs, [width, positions], at its place in the batch. @param weights one a position */
  place(input: Float32Array, weights: Float32Array, at: number): void {
    const { width, batch } = this;
    const start = at * input.length;
    weights.forEach((weight, position) => {
      const root = Math.sqrt(weight);
      const first = position * width;
      for (let i = first; i < first + width; i++) batch[start + i] = root * input[i];
    });
    this.placed[at] = weights.reduce((sum, weight) => sum + weight, 0);
    this.filled = Math.max(this.filled, start + input.length);
  }

  /** Adds the batch; places that were not filled count as nothing. */
  async add(signal?: AbortSignal): Promise<void> {
    this.batch.fill(0, this.filled);
    await this.graph.compute({ signal });
    for (const weight of this.placed) this.weight += weight;
    this.placed.length = 0;
    this.filled = 0;
  }

  /** The weighted mean so far; the next sum begins at nothing. */
  take(): Float32Array {
    // Without any weight all sums are zero.
    const total = this.weight === 0 ? 1 : this.weight;
    const mean = this.sum.map((value) => value / total);
    this.sum.fill(0);
    this.weight = 0;
    return mean;
  }

  dispose(): void {
    this.graph.dispose();
  }
}
