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

/** Columns of a band: small enough that bands keep all lanes at work. */
const BAND = 256;

/** Rows `first` up to `end` of the lower triangle of a sum, as far as column `end`. */
class GramBand {
  readonly first: number;
  readonly end: number;
  /** [end, end - first] */
  readonly sum: Float32Array;
  private readonly graph: ComputeGraph;

  constructor(engine: Engine, batch: Float32Array, width: number, first: number) {
    this.first = first;
    this.end = Math.min(width, first + BAND);
    const { end } = this;
    this.sum = alignedFloats(end * (end - first));
    this.graph = new ComputeGraph(engine, 32);
    const { graph } = this;
    const x = graph.leaf(batch, width, batch.length / width);
    const before = graph.transpose(graph.slice(x, 0, end));
    const own = graph.transpose(graph.slice(x, first, end - first));
    const sum = graph.leaf(this.sum, end, end - first);
    graph.store(graph.add(sum, graph.multiply(before, own)), this.sum);
  }

  /** Multiplications of a batch, for each of its positions. */
  get work(): number {
    return this.sum.length;
  }

  async add(signal?: AbortSignal): Promise<void> {
    await this.graph.compute({ signal });
  }

  dispose(): void {
    this.graph.dispose();
  }
}

/** Adds up w x x' of one input, a batch of sequences at a time: half the matrix, which is symmetric. */
export class GramSum {
  /** To be added, in any order, between `close` and `open`. */
  readonly bands: readonly GramBand[];
  private readonly width: number;
  private readonly batch: Float32Array;
  /** Of each place of the batch: its positions' weights, summed. */
  private readonly placed: number[] = [];
  private filled = 0;
  private weight = 0;

  /** @param positions of a batch */
  constructor(engine: Engine, width: number, positions: number) {
    this.width = width;
    this.batch = alignedFloats(width * positions);
    this.bands = Array.from(
      { length: Math.ceil(width / BAND) },
      (_, index) => new GramBand(engine, this.batch, width, index * BAND),
    );
  }

  /** Bytes of a sum, of the batch that is added, and of the graphs that do it. */
  static byteLength(width: number, positions: number): number {
    return 4 * (2 * width * width + 3 * width * positions);
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

  /** The batch is complete: places that were not filled count as nothing. */
  close(): void {
    this.batch.fill(0, this.filled);
    for (const weight of this.placed) this.weight += weight;
  }

  /** The batch was added: the next one begins. */
  open(): void {
    this.placed.length = 0;
    this.filled = 0;
  }

  /** The weighted mean so far, [width, width]; the next sum begins at nothing. */
  take(): Float32Array {
    const { width } = this;
    // Without any weight all sums are zero.
    const total = this.weight === 0 ? 1 : this.weight;
    const mean = new Float32Array(width * width);
    for (const { first, end, sum } of this.bands) {
      for (let i = first; i < end; i++)
        for (let j = 0; j <= i; j++)
          mean[i * width + j] = mean[j * width + i] = sum[(i - first) * end + j] / total;
      sum.fill(0);
    }
    this.weight = 0;
    return mean;
  }

  dispose(): void {
    for (const band of this.bands) band.dispose();
  }
}
