/**
 * @file One lane's graphs at the output head: to the logits of a slab of its rows and back, and the last norm both ways. Lanes
 * share the slab.
 */
import { alignedFloats, ComputeGraph, Tape } from '@bitsmith/ggml';
import type { PassSettings } from './blocks.js';
import { storeInnerProduct } from './inner-products.js';
import {
  emptySquaredGradient,
  type SquaredGradient,
  storeSquaredGradient,
  sumOfProducts,
} from './squared-gradient.js';
import { type WeightArray } from './weights.js';

/** The head's gradient in the rows of a sequence's own tokens, [tokens, width] in `tokens`' order. */
export interface OwnRows {
  readonly tokens: readonly number[];
  readonly values: Float32Array;
}

export class HeadLane {
  private readonly stream: Float32Array;
  readonly hidden: Float32Array;
  private readonly hiddenGradient: Float32Array;
  private readonly part: Float32Array;
  private readonly squared: SquaredGradient;
  private readonly norm: ComputeGraph;
  private readonly logits: ComputeGraph;
  private readonly back: ComputeGraph;
  private readonly normBack: ComputeGraph;
  private readonly slab: WeightArray;
  private readonly positions: number;
  private sequenceLogits: Float32Array | null = null;
  /** <G, dW> of the slab. */
  private readonly inner = alignedFloats(1);

  constructor(
    { engine, model, headInputs = false }: PassSettings,
    slab: WeightArray,
    change: Float32Array | null,
    gains: Float32Array,
    positions: number,
  ) {
    const { width } = model;
    const rows = slab.shape[1];
    this.slab = slab;
    this.positions = positions;
    this.stream = alignedFloats(width * positions);
    this.hidden = alignedFloats(width * positions);
    this.hiddenGradient = alignedFloats(width * positions);
    this.part = alignedFloats(rows * positions);
    this.squared = emptySquaredGradient(width, rows);

    this.norm = new ComputeGraph(engine, 64);
    const normed = (graph: ComputeGraph, tape: Tape) => {
      const x = graph.leaf(this.stream, width, positions);
      return { x, y: tape.timesConstant(tape.rmsNorm(x, model.epsilon), graph.leaf(gains, width)) };
    };
    this.norm.store(normed(this.norm, new Tape(this.norm)).y, this.hidden);

    this.logits = new ComputeGraph(engine, 64);
    this.logits.store(
      this.logits.multiply(
        this.logits.leaf(slab.values, width, rows),
        this.logits.leaf(this.hidden, width, positions),
      ),
      this.part,
    );

    this.back = new ComputeGraph(engine, 128);
    const dy = this.back.leaf(this.part, rows, positions);
    const transposed = this.back.leaf(slab.transposed as Float32Array, rows, width);
    const sum = this.back.leaf(this.hiddenGradient, width, positions);
    const product = { input: this.back.leaf(this.hidden, width, positions), outputGradient: dy };
    if (!headInputs) storeSquaredGradient(this.back, product, this.squared);
    if (change !== null)
      storeInnerProduct(this.back, product, this.back.leaf(change, width, rows), this.inner);
    this.back.store(this.back.add(sum, this.back.multiply(transposed, dy)), this.hiddenGradient);

    this.normBack = new ComputeGraph(engine, 64);
    const tape = new Tape(this.normBack);
    const { x, y } = normed(this.normBack, tape);
    const gradient = this.normBack.leaf(this.hiddenGradient, width, positions);
    this.normBack.store(tape.backward(y, gradient, x), this.stream);
    // dY . Y of all logits, by way of what they are made of: dY . W h = W' dY . h.
    const hidden = this.normBack.leaf(this.hidden, width, positions);
    this.normBack.store(sumOfProducts(this.normBack, hidden, gradient), this.squared.growth);
  }

  get byteLength(): number {
    const graphs = [this.norm, this.logits, this.back, this.normBack];
    for (const graph of graphs) graph.prepare();
    const arrays = [this.stream, this.hidden, this.hiddenGradient, this.part];
    return (
      arrays.reduce((sum, array) => sum + array.byteLength, 0) +
      graphs.reduce((sum, graph) => sum + graph.workBytes, 0)
    );
  }

  /** The same array for one sequence after the other: garbage of this size would wait long to be collected. */
  roomForLogits(length: number): Float32Array {
    this.sequenceLogits ??= new Float32Array(length);
    return this.sequenceLogits;
  }

  async begin(stream: Float32Array, signal?: AbortSignal): Promise<void> {
    this.stream.set(stream);
    this.hiddenGradient.fill(0);
    await this.norm.compute({ signal });
  }

  /** Logits of the slab's rows into their columns of [positions x vocabulary]. */
  async addLogits(
    into: Float32Array,
    vocabulary: number,
    first: number,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.logits.compute({ signal });
    const rows = this.slab.shape[1];
    const count = Math.min(rows, vocabulary - first);
    for (let position = 0; position < this.positions; position++) {
      const from = this.part.subarray(position * rows, position * rows + count);
      into.set(from, position * vocabulary + first);
    }
  }

  /** Adds the slab's part of the way back, and its rows' and columns' squares; returns its part of <G, dW>. */
  async takeBack(
    gradient: Float32Array,
    vocabulary: number,
    first: number,
    into: SquaredGradient,
    signal?: AbortSignal,
  ): Promise<number> {
    const rows = this.slab.shape[1];
    const count = Math.min(rows, vocabulary - first);
    for (let position = 0; position < this.positions; position++) {
      const start = position * vocabulary + first;
      this.part.set(gradient.subarray(start, start + count), position * rows);
      this.part.fill(0, position * rows + count, (position + 1) * rows);
    }
    await this.back.compute({ signal });
    into.rows.set(this.squared.rows.subarray(0, count), first);
    into.energy.set(this.squared.energy.subarray(0, count), first);
    for (let column = 0; column < into.columns.length; column++)
      into.columns[column] += this.squared.columns[column];
    return this.inner[0];
  }

  /** Rows of the head's gradient, sum_t dy_t[token] h_t, for the tokens of the sequence. */
  ownRows(tokens: Int32Array, gradient: Float32Array, vocabulary: number): OwnRows {
    const own = [...new Set(tokens)].sort((a, b) => a - b);
    const width = this.hidden.length / this.positions;
    const values = new Float32Array(own.length * width);
    own.forEach((token, index) => {
      const row = values.subarray(index * width, (index + 1) * width);
      for (let position = 0; position < this.positions; position++) {
        const dy = gradient[position * vocabulary + token];
        if (dy === 0) continue;
        const h = this.hidden.subarray(position * width, (position + 1) * width);
        for (let column = 0; column < width; column++) row[column] += dy * h[column];
      }
    });
    return { tokens: own, values };
  }

  /** Back to the stream, when all slabs are; adds the growth. */
  async end(stream: Float32Array, into: SquaredGradient, signal?: AbortSignal): Promise<void> {
    await this.normBack.compute({ signal });
    stream.set(this.stream);
    into.growth.set(this.squared.growth);
  }

  dispose(): void {
    for (const graph of [this.norm, this.logits, this.back, this.normBack]) graph.dispose();
  }
}
