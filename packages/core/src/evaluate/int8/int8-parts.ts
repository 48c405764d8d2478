/**
 * @file A block's matrices as 8-bit codes: what they are multiplied with are codes as well. Products of whole numbers and their sums
 * are exact in float32 up to 2^24, which sums of a few thousand products of 8 bits stay below unless nearly all have one
 * sign; so this is what integer units compute, and only then come the scales of rows and of tokens.
 */
import type { ComputeGraph, GraphNode, Tape } from '@bitsmith/ggml';
import type { BlockParts } from '../../transformer/block.js';
import type { BlockWeights } from '../../transformer/block-weights.js';
import type { WeightArray } from '../../transformer/weights.js';

/** A block's weights, its matrices as codes with a scale a row. */
export interface Int8Weights extends BlockWeights {
  readonly scales: ReadonlyMap<string, Float32Array>;
}

export class Int8Parts implements BlockParts {
  private readonly graph: ComputeGraph;
  private readonly weights: Int8Weights;
  private readonly tokenScales: GraphNode;
  private readonly leaves = new Map<string, GraphNode>();

  /** @param tokenScales of what every matrix of the graph is multiplied with */
  constructor(graph: ComputeGraph, weights: Int8Weights, tokenScales: Float32Array) {
    this.graph = graph;
    this.weights = weights;
    this.tokenScales = graph.leaf(tokenScales, 1, tokenScales.length);
  }

  has(name: string): boolean {
    return this.weights.matrices.has(name);
  }

  linear(tape: Tape, x: GraphNode, name: string): GraphNode {
    const { shape, values } = this.weights.matrices.get(name) as WeightArray;
    const scales = this.weights.scales.get(name) as Float32Array;
    const forward = this.graph.leaf(values, ...shape);
    const sums = tape.linear({ name, forward, transposed: null }, x);
    const byRow = tape.timesConstant(sums, this.graph.leaf(scales, scales.length));
    const y = tape.timesConstant(byRow, this.tokenScales);
    const bias = this.vector(`${name}.bias`);
    return bias === undefined ? y : tape.addConstant(y, bias);
  }

  vector(name: string): GraphNode | undefined {
    const values = this.weights.vectors.get(name);
    if (values === undefined) return undefined;
    const leaf = this.leaves.get(name) ?? this.graph.leaf(values, values.length);
    this.leaves.set(name, leaf);
    return leaf;
  }
}
