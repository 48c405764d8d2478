/**
 * @file The squared gradient of a weight matrix over one sequence, kept as its row and column sums. With G = dY X', summed
 * over the positions t,
 *
 *     rows_i    = sum_j G_ij^2 = dY_i (X'X) dY_i'      columns_j = sum_i G_ij^2 = X_j (dY'dY) X_j'
 *
 * Either G is made and squared, or, where the matrix is large against the sequence, the sums come from the Gram matrices of
 * the positions, [T, T], and G is never made. Beside them `energy_i` = sum_t dY_it^2, which knows nothing of other positions, and
 * <G, W> = sum_t dY_t . Y_t, the derivative by the matrix's own size: encoders shrink what they round, all weights together.
 */
import { alignedFloats, type ComputeGraph, type GraphNode, type WeightProduct } from '@bitsmith/ggml';

/** What is kept of one matrix and one sequence. */
export interface SquaredGradient {
  /** [outputs] */
  readonly rows: Float32Array;
  /** [inputs] */
  readonly columns: Float32Array;
  /** [outputs]: the token-level second moment of the output's gradient, summed over positions. */
  readonly energy: Float32Array;
  /** <G, W>, one number. */
  readonly growth: Float32Array;
}

export function emptySquaredGradient(inputs: number, outputs: number): SquaredGradient {
  return {
    rows: alignedFloats(outputs),
    columns: alignedFloats(inputs),
    energy: alignedFloats(outputs),
    growth: alignedFloats(1),
  };
}

/** Adds to the graph what fills `into`, its growth excepted. */
export function storeSquaredGradient(
  graph: ComputeGraph,
  { input, outputGradient }: Pick<WeightProduct, 'input' | 'outputGradient'>,
  into: SquaredGradient,
): void {
  const x = graph.transpose(input);
  const dy = graph.transpose(outputGradient);
  const { rows, columns } = viaGrams(input, outputGradient)
    ? sumsByGrams(graph, input, outputGradient, x, dy)
    : sumsOfSquares(graph, x, dy);
  graph.store(rows, into.rows);
  graph.store(columns, into.columns);
  graph.store(graph.sumRows(graph.square(dy)), into.energy);
}

/** Adds to the graph what puts <G, W> into `into`. */
export function storeGrowth(
  graph: ComputeGraph,
  { output, outputGradient }: Pick<WeightProduct, 'output' | 'outputGradient'>,
  into: SquaredGradient,
): void {
  graph.store(sumOfProducts(graph, output, outputGradient), into.growth);
}

/** sum_ij A_ij B_ij of two matrices, as one number. */
export function sumOfProducts(graph: ComputeGraph, a: GraphNode, b: GraphNode): GraphNode {
  const each = graph.sumRows(graph.times(a, b));
  return graph.sumRows(graph.reshape(each, a.shape[1], 1));
}

/** Multiplications of one way against the other. */
function viaGrams(input: GraphNode, dy: GraphNode): boolean {
  const [inputs, positions] = input.shape;
  const outputs = dy.shape[0];
  return 2 * positions * (inputs + outputs) < inputs * outputs;
}

function sumsOfSquares(
  graph: ComputeGraph,
  x: GraphNode,
  dy: GraphNode,
): { rows: GraphNode; columns: GraphNode } {
  const squares = graph.square(graph.multiply(x, dy));
  return { rows: graph.sumRows(squares), columns: graph.sumRepeats(squares, squares.shape[0], 1) };
}

function sumsByGrams(
  graph: ComputeGraph,
  input: GraphNode,
  outputGradient: GraphNode,
  x: GraphNode,
  dy: GraphNode,
): { rows: GraphNode; columns: GraphNode } {
  const form = (gram: GraphNode, vectors: GraphNode): GraphNode =>
    graph.sumRows(graph.times(graph.multiply(gram, vectors), vectors));
  return {
    rows: form(graph.multiply(input, input), dy),
    columns: form(graph.multiply(outputGradient, outputGradient), x),
  };
}
