/**
 * @file What a change of a weight matrix does to one sequence's log-probability, to first order: <G, dW> = sum_t dY_t . (dW x_t).
 * The mean of its square over sequences is the change's loss (times 2T), the mean of the product of two is what two changes do
 * together.
 */
import type { ComputeGraph, GraphNode, WeightProduct } from '@bitsmith/ggml';
import { sumOfProducts } from './squared-gradient.js';

/** dW of tensors. */
export interface WeightChanges {
  /** Fills `into` with the change of whole rows, from `firstRow` on. */
  rows(tensor: string, firstRow: number, into: Float32Array): Promise<void>;
}

/** Adds to the graph what puts <G, dW> into `into`, one number. */
export function storeInnerProduct(
  graph: ComputeGraph,
  { input, outputGradient }: Pick<WeightProduct, 'input' | 'outputGradient'>,
  change: GraphNode,
  into: Float32Array,
): void {
  graph.store(sumOfProducts(graph, graph.multiply(change, input), outputGradient), into);
}
