/**
 * @file Gram matrices of what weight matrices are multiplied with: H = mean over positions of x x'. They hold what the
 * importance matrix, H's diagonal, leaves out: channels that move together, by which errors of neighbouring weights add
 * up or cancel. Summed in a fixed order of sequences, so that no number depends on the lanes.
 */
import { alignedFloats, ComputeGraph, type Engine } from '@bitsmith/ggml';

/** Which matrix's Gram matrix a part of a block shares. */
const readers: Readonly<Record<string, readonly string[]>> = {
  attn_q: ['attn_k', 'attn_v'],
  ffn_up: ['ffn_gate'],
  ffn_gate: ['ffn_up'],
};

/** The part under whose name the Gram matrix of `part` is kept, among those that are. */
export function gramPartOf(part: string, kept: (name: string) => boolean): string | null {
  if (kept(part)) return part;
  const owner = Object.entries(readers).find(([name, others]) => others.includes(part) && kept(name));
  return owner?.[0] ?? null;
}

/** Adds up x x' of one input, a batch of sequences at a time. */
export class GramSum {
  /** [width, width] */
  readonly sum: Float32Array;
  private readonly batch: Float32Array;
  private readonly graph: ComputeGraph;
  private filled = 0;
  private positions = 0;

  /** @param positions of a batch */
  constructor(engine: Engine, width: number, positions: number) {
    this.sum = alignedFloats(width * width);
    this.batch = alignedFloats(width * positions);
    this.graph = new ComputeGraph(engine, 32);
    const x = this.graph.transpose(this.graph.leaf(this.batch, width, positions));
    const sum = this.graph.leaf(this.sum, width, width);
    this.graph.store(this.graph.add(sum, this.graph.multiply(x, x)), this.sum);
  }

  /** Puts a sequence's inputs at its place in the batch. */
  place(input: Float32Array, at: number): void {
    this.batch.set(input, at * input.length);
    this.filled = Math.max(this.filled, (at + 1) * input.length);
  }

  /** Adds the batch; places that were not filled count as nothing. */
  async add(positions: number, signal?: AbortSignal): Promise<void> {
    this.batch.fill(0, this.filled);
    await this.graph.compute({ signal });
    this.positions += positions;
    this.filled = 0;
  }

  /** The mean so far; the next sum begins at nothing. */
  take(): Float32Array {
    const mean = this.sum.map((value) => value / this.positions);
    this.sum.fill(0);
    this.positions = 0;
    return mean;
  }

  dispose(): void {
    this.graph.dispose();
  }
}
