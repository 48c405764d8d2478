/** @file What changes of rows cost under the full Gram matrix of their inputs. */
import { computeOnce, type Engine, type GraphNode } from '@bitsmith/ggml';
import type { SpanTriangle } from '../gram/span-triangle.js';

/** Nodes a span takes. */
const NODES = 16;

/** dW_i H dW_i' of every row i, from one side of the diagonal. */
export async function gramRowErrors(
  engine: Engine,
  values: Float32Array,
  decoded: Float32Array,
  rows: number,
  rowLength: number,
  gram: SpanTriangle,
): Promise<Float32Array> {
  const errors = new Float32Array(rows);
  await computeOnce(engine, NODES * (gram.spans + 1), (graph) => {
    const change = graph.subtract(graph.leaf(values, rowLength, rows), graph.leaf(decoded, rowLength, rows));
    let sum: GraphNode | null = null;
    for (let span = 0; span < gram.spans; span++) {
      const [first, size] = [gram.firstOf(span), gram.sizeOf(span)];
      const own = graph.dense(graph.slice(change, first, size));
      const cost = (block: Float32Array, columns: GraphNode): GraphNode =>
        graph.sumRows(graph.times(graph.multiply(graph.leaf(block, size, columns.shape[0]), own), columns));
      const within = cost(gram.diagonalBlock(span), own);
      sum = sum === null ? within : graph.add(sum, within);
      // Both sides of the diagonal.
      if (first > 0)
        sum = graph.add(sum, graph.scale(cost(gram.cross(span), graph.slice(change, 0, first)), 2));
    }
    graph.store(sum as GraphNode, errors);
  });
  return errors;
}
