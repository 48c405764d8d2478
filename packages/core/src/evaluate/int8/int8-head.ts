/** @file The output head with its weights and inputs in 8 bits, a slab of its rows in memory at a time. */
import { alignedFloats, ComputeGraph } from '@bitsmith/ggml';
import type { Head } from '../../transformer/head.js';
import { bend } from '../../transformer/random-labels.js';
import { loadWeights, type WeightArray, weightArray } from '../../transformer/weights.js';
import { importanceOf, type Int8Settings } from './int8-blocks.js';
import { encodeWeights } from './weight-codes.js';

/** Rows are decoded in slabs of so many weights. */
const SLAB_WEIGHTS = 1 << 23;

/** One sequence at the head: its codes, and the logits that they become. */
interface Scored {
  readonly codes: Float32Array;
  readonly scales: Float32Array;
  readonly logits: Float32Array;
}

export class Int8Head {
  private readonly settings: Int8Settings;
  private readonly head: Head;
  private readonly positions: number;
  private readonly slab: WeightArray;
  private readonly rowScales: Float32Array;
  private readonly codes: Float32Array;
  private readonly sums: Float32Array;
  private readonly product: ComputeGraph;
  private loaded: number | null = null;

  /**
   * @param head gives what is behind the last norm
   * @param positions of each sequence that are scored, the last ones
   */
  constructor(settings: Int8Settings, head: Head, positions: number) {
    const { engine, model } = settings;
    const rows = Math.min(head.tensor.rows, Math.max(1, Math.floor(SLAB_WEIGHTS / model.width)));
    this.settings = settings;
    this.head = head;
    this.positions = positions;
    this.slab = weightArray(model.width, rows, false);
    this.rowScales = alignedFloats(rows);
    this.codes = alignedFloats(model.width * positions);
    this.sums = alignedFloats(rows * positions);
    this.product = new ComputeGraph(engine, 16);
    const weights = this.product.leaf(this.slab.values, model.width, rows);
    const sums = this.product.multiply(weights, this.product.leaf(this.codes, model.width, positions));
    this.product.store(sums, this.sums);
  }

  /** Logits of the scored positions of every stream behind the last block, [positions x vocabulary]. */
  async logits(streams: readonly Float32Array[], signal?: AbortSignal): Promise<Float32Array[]> {
    const items: Scored[] = [];
    for (const stream of streams) items.push(await this.begin(stream, signal));
    for (let first = 0; first < this.head.tensor.rows; first += this.slab.shape[1]) {
      await this.load(first);
      for (const item of items) await this.multiply(item, first, signal);
    }
    const { logitLimit } = this.settings.model;
    return items.map(({ logits }) => {
      if (logitLimit !== null) bend(logits, logitLimit, null);
      return logits;
    });
  }

  dispose(): void {
    this.product.dispose();
  }

  private async begin(stream: Float32Array, signal?: AbortSignal): Promise<Scored> {
    const { rounder, model } = this.settings;
    const hidden = await this.head.hidden(stream, 0, signal);
    const values = hidden.subarray(hidden.length - this.positions * model.width);
    const item = {
      codes: new Float32Array(values.length),
      scales: new Float32Array(this.positions),
      logits: new Float32Array(this.positions * this.head.tensor.rows),
    };
    rounder.round({ tensor: this.head.tensor.name, values, ...item });
    return item;
  }

  private async multiply(
    { codes, scales, logits }: Scored,
    first: number,
    signal?: AbortSignal,
  ): Promise<void> {
    this.codes.set(codes);
    await this.product.compute({ signal });
    const [, rows] = this.slab.shape;
    const vocabulary = this.head.tensor.rows;
    const count = Math.min(rows, vocabulary - first);
    for (let position = 0; position < this.positions; position++)
      for (let row = 0; row < count; row++)
        logits[position * vocabulary + first + row] =
          this.sums[position * rows + row] * this.rowScales[row] * scales[position];
  }

  private async load(first: number): Promise<void> {
    if (this.loaded === first) return;
    const { engine, files, lanes, importance } = this.settings;
    const [rowLength, rows] = this.slab.shape;
    const count = Math.min(rows, this.head.tensor.rows - first);
    const part = { ...this.slab, shape: [rowLength, count] as const };
    await loadWeights(engine, files, this.head.tensor, part, lanes, first);
    encodeWeights(part, importanceOf(importance, files, this.head.tensor.name), this.rowScales);
    this.loaded = first;
  }
}
