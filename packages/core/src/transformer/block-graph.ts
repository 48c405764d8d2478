/** @file The graph of one block over one sequence, from the stream before it to the stream behind it. */
import { alignedFloats, ComputeGraph, type Engine, type GraphNode, Tape } from '@bitsmith/ggml';
import { BlockLeaves, buildBlock } from './block.js';
import type { BlockWeights } from './block-weights.js';
import type { BlockShape, TransformerShape } from './shape.js';

export interface BlockGraphSettings {
  readonly engine: Engine;
  readonly model: TransformerShape;
  readonly positions: number;
  readonly ropeFactors: Float32Array | null;
  readonly weights: BlockWeights;
}

export interface BlockGraph {
  readonly graph: ComputeGraph;
  readonly tape: Tape;
  /** [width, positions]: the stream before the block. */
  readonly x: GraphNode;
  /** [width, positions]: the stream behind it. */
  readonly y: GraphNode;
}

/** Most nodes of a block, its backward pass and what is stored of it. */
const CAPACITY = 1024;

/** @param input where the stream before the block is read from */
export function blockGraph(
  { engine, model, positions, ropeFactors, weights }: BlockGraphSettings,
  block: BlockShape,
  input: Float32Array,
): BlockGraph {
  const graph = new ComputeGraph(engine, CAPACITY);
  const tape = new Tape(graph);
  const x = graph.leaf(input, model.width, positions);
  const numbers = Int32Array.from({ length: positions }, (_, index) => index);
  const y = buildBlock(tape, model, block, x, {
    positions: graph.leaf(numbers, positions),
    mask: graph.leaf(causalMask(positions, block.window), positions, positions),
    ropeFactors: ropeFactors === null ? null : graph.leaf(ropeFactors, ropeFactors.length),
    weights: new BlockLeaves(graph, weights),
  });
  return { graph, tape, x, y };
}

/** Graphs by kind of block: built when they are first wanted. */
export class GraphsByBlock {
  private readonly graphs = new Map<string, ComputeGraph>();

  of(block: BlockShape, build: () => ComputeGraph): ComputeGraph {
    const key = JSON.stringify(block);
    const known = this.graphs.get(key);
    if (known !== undefined) return known;
    const graph = build();
    this.graphs.set(key, graph);
    return graph;
  }

  dispose(): void {
    for (const graph of this.graphs.values()) graph.dispose();
  }
}

/** [keys, queries]: a query looks at itself and what came before it, at most `window` positions in all. */
export function causalMask(positions: number, window: number | null): Float32Array {
  const mask = alignedFloats(positions * positions);
  for (let query = 0; query < positions; query++) {
    for (let key = 0; key < positions; key++) {
      const seen = key <= query && (window === null || query - key < window);
      mask[query * positions + key] = seen ? 0 : -Infinity;
    }
  }
  return mask;
}
