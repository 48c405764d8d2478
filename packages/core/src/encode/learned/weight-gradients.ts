/**
 * @file Gradients of weight matrices over all sequences of a step: one product a matrix of what its inputs and its output gradients were at
 * every position. The order of sums does not depend on how many lanes there are.
 */
import { alignedFloats, ComputeGraph, type Engine } from '@bitsmith/ggml';
import { inLanes } from '../../run/lanes.js';
import type { ProductArrays } from './learning-lane.js';

interface Product {
  readonly input: Float32Array;
  readonly outputGradient: Float32Array;
  /** [inputs, outputs], as the weights lie. */
  readonly gradient: Float32Array;
  readonly graph: ComputeGraph;
}

export class WeightGradients {
  private readonly products = new Map<string, Product>();

  /** @param positions of all sequences of a step */
  constructor(
    engine: Engine,
    shapes: ReadonlyMap<string, readonly [rowLength: number, rows: number]>,
    positions: number,
  ) {
    for (const [name, [inputs, outputs]] of shapes) {
      const input = alignedFloats(inputs * positions);
      const outputGradient = alignedFloats(outputs * positions);
      const gradient = alignedFloats(inputs * outputs);
      const graph = new ComputeGraph(engine, 16);
      const x = graph.transpose(graph.leaf(input, inputs, positions));
      const dy = graph.transpose(graph.leaf(outputGradient, outputs, positions));
      graph.store(graph.multiply(x, dy), gradient);
      this.products.set(name, { input, outputGradient, gradient, graph });
    }
  }

  /** Takes a sequence's products to its place in the step. */
  place(arrays: ReadonlyMap<string, ProductArrays>, at: number): void {
    for (const [name, { input, outputGradient }] of this.products) {
      const from = arrays.get(name);
      if (from === undefined) continue;
      input.set(from.input, at * from.input.length);
      outputGradient.set(from.outputGradient, at * from.outputGradient.length);
    }
  }

  /** By matrix; valid until the next call. */
  async compute(lanes: number): Promise<ReadonlyMap<string, Float32Array>> {
    await inLanes(lanes, this.products.values(), ({ graph }) => graph.compute());
    return new Map([...this.products].map(([name, { gradient }]) => [name, gradient]));
  }

  dispose(): void {
    for (const { graph } of this.products.values()) graph.dispose();
  }
}
