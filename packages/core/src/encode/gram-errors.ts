/** @file What changes of rows cost under the full Gram matrix of their inputs. */
import { ComputeGraph, type Engine } from '@bitsmith/ggml';

/** dW_i H dW_i' of every row i. @param gram [row length, row length] */
export async function gramRowErrors(
  engine: Engine,
  values: Float32Array,
  decoded: Float32Array,
  rows: number,
  rowLength: number,
  gram: Float32Array,
): Promise<Float32Array> {
  const errors = new Float32Array(rows);
  const graph = new ComputeGraph(engine, 32);
  try {
    const change = graph.subtract(graph.leaf(values, rowLength, rows), graph.leaf(decoded, rowLength, rows));
    const product = graph.multiply(graph.leaf(gram, rowLength, rowLength), change);
    graph.store(graph.sumRows(graph.times(product, change)), errors);
    await graph.compute();
  } finally {
    graph.dispose();
  }
  return errors;
}
