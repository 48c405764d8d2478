/**
 * @file What scaling an input's channels does to the outputs of the matrices that read it: some of their rows, through the
 * scheme in question, on some positions of the input, which may be rounded as well. Errors are shares of each matrix's output, so
 * that matrices can be added.
 */
import { alignedFloats, computeOnce, type Engine } from '@bitsmith/ggml';
import { throughScheme } from '../../encode/through-scheme.js';
import { encodeActivations, tokenScales } from '../../evaluate/int8/activation-codes.js';
import { type WeightArray } from '../../transformer/weights.js';
import type { StorageType } from '../../plan/schemes.js';

/** What the model will be rounded to. */
export interface EqualizedFor {
  readonly scheme: StorageType;
  /** Whether activations are rounded to 8 bits, a scale each token. */
  readonly activations: boolean;
}

/** Few rows say little of the others. */
const FEWEST_ROWS = 16;

export class OutputError {
  private readonly engine: Engine;
  private readonly rounding: EqualizedFor;
  private readonly columns: number;
  private readonly input: Float32Array;
  private readonly meanSquares: Float32Array;
  private readonly readers: readonly Float32Array[];

  /**
   * @param input [columns x positions]
   * @param meanSquares of the input's columns
   * @param weights of each reader that are tried, in whole rows
   */
  constructor(
    engine: Engine,
    rounding: EqualizedFor,
    input: Float32Array,
    meanSquares: Float32Array,
    readers: readonly WeightArray[],
    weights: number,
  ) {
    this.engine = engine;
    this.rounding = rounding;
    this.columns = meanSquares.length;
    this.input = input;
    this.meanSquares = meanSquares;
    this.readers = readers.map((reader) => someRows(reader, weights));
  }

  /** With each column of the weights multiplied by its factor, and each of the input divided by it. */
  async of(factors: Float32Array): Promise<number> {
    const input = alignedFloats(this.input.length);
    input.forEach((_, at) => (input[at] = this.input[at] / factors[at % this.columns]));
    const rounded = this.rounding.activations ? this.roundTokens(input) : input;
    const importance = this.meanSquares.map((square, column) => square / factors[column] ** 2);
    let sum = 0;
    for (const rows of this.readers) {
      const scaled = alignedFloats(rows.length);
      scaled.forEach((_, at) => (scaled[at] = rows[at] * factors[at % this.columns]));
      sum += await this.relativeError(input, rounded, scaled, await this.roundWeights(scaled, importance));
    }
    return sum;
  }

  private roundTokens(input: Float32Array): Float32Array {
    const scales = new Float32Array(input.length / this.columns);
    const codes = alignedFloats(input.length);
    tokenScales(input, this.columns, scales);
    encodeActivations(input, this.columns, scales, codes);
    codes.forEach((code, at) => (codes[at] = code * scales[Math.floor(at / this.columns)]));
    return codes;
  }

  private async roundWeights(values: Float32Array, importance: Float32Array): Promise<Float32Array> {
    const target = alignedFloats(values.length);
    const rows = values.length / this.columns;
    const weights = importance.some((weight) => weight > 0) ? importance : undefined;
    const request = { values, rows, rowLength: this.columns, importance: weights };
    await throughScheme(this.engine, { scheme: this.rounding.scheme, ...request }, target);
    return target;
  }

  /** |x' W' - x W|^2 / |x W|^2 */
  private async relativeError(
    input: Float32Array,
    roundedInput: Float32Array,
    weights: Float32Array,
    roundedWeights: Float32Array,
  ): Promise<number> {
    const { columns } = this;
    const sums: Float32Array[] = [];
    await computeOnce(this.engine, 32, (graph) => {
      const leaf = (values: Float32Array) => graph.leaf(values, columns, values.length / columns);
      const exact = graph.multiply(leaf(weights), leaf(input));
      const rounded = graph.multiply(leaf(roundedWeights), leaf(roundedInput));
      for (const node of [graph.subtract(rounded, exact), exact]) {
        const into = alignedFloats(node.shape[1]);
        graph.store(graph.sumRows(graph.square(node)), into);
        sums.push(into);
      }
    });
    const [error, size] = sums.map((values) => values.reduce((sum, value) => sum + value, 0));
    return size > 0 ? error / size : 0;
  }
}

/** Evenly spread over the matrix. */
function someRows({ shape: [columns, rows], values }: WeightArray, weights: number): Float32Array {
  const count = Math.min(rows, Math.max(FEWEST_ROWS, Math.floor(weights / columns)));
  const chosen = alignedFloats(count * columns);
  for (let index = 0; index < count; index++) {
    const row = Math.floor(((index + 0.5) * rows) / count);
    chosen.set(values.subarray(row * columns, (row + 1) * columns), index * columns);
  }
  return chosen;
}
