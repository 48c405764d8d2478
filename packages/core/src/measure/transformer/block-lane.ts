/**
 * @file One lane's graphs of a block: a forward and a backward one for each kind of block that the model has (they differ in
 * window and rotary base only). Lanes share the weights and compute side by side, each on one thread and its own sequences, so
 * that no number depends on how many lanes there are.
 */
import { ComputeGraph, type Engine, type GraphNode, Tape } from '@bitsmith/ggml';
import { BlockLeaves, buildBlock } from './block.js';
import type { BlockWeights } from './block-weights.js';
import { storeInnerProduct } from './inner-products.js';
import type { BlockShape, TransformerShape } from './shape.js';
import {
  emptySquaredGradient,
  type SquaredGradient,
  storeGrowth,
  storeSquaredGradient,
} from './squared-gradient.js';
import { alignedFloats, type WeightArray } from './weights.js';

export interface LaneSettings {
  readonly engine: Engine;
  readonly model: TransformerShape;
  readonly positions: number;
  readonly ropeFactors: Float32Array | null;
  readonly weights: BlockWeights;
  /** dW by matrix, where inner products with it are wanted. */
  readonly changes: ReadonlyMap<string, Float32Array> | null;
}

export class BlockLane {
  /** [width, positions]: the stream before the block, to be filled before either pass. */
  readonly input: Float32Array;
  /** The stream behind it, after a forward pass. */
  readonly output: Float32Array;
  /** Gradient of the stream behind the block, to be filled before a backward pass. */
  readonly outputGradient: Float32Array;
  /** Gradient of the stream before it, after a backward pass. */
  readonly inputGradient: Float32Array;
  /** By matrix, after a backward pass. */
  readonly squared: ReadonlyMap<string, SquaredGradient>;
  /** <G, dW> by matrix, one number each, after a backward pass with changes. */
  readonly inner: ReadonlyMap<string, Float32Array>;
  private readonly settings: LaneSettings;
  private readonly positionNumbers: Int32Array;
  private readonly forwards = new Map<string, ComputeGraph>();
  private readonly backwards = new Map<string, ComputeGraph>();
  private readonly watching = new Map<string, ComputeGraph>();
  private watched: ReadonlyMap<string, Float32Array> | null = null;

  constructor(settings: LaneSettings) {
    const { model, positions, weights, changes } = settings;
    const stream = (): Float32Array => alignedFloats(model.width * positions);
    this.settings = settings;
    this.input = stream();
    this.output = stream();
    this.outputGradient = stream();
    this.inputGradient = stream();
    this.positionNumbers = Int32Array.from({ length: positions }, (_, index) => index);
    this.squared = new Map(
      [...weights.matrices].map(([name, { shape }]) => [name, emptySquaredGradient(...shape)]),
    );
    this.inner = new Map([...(changes?.keys() ?? [])].map((name) => [name, alignedFloats(1)]));
  }

  async forward(block: BlockShape, signal?: AbortSignal): Promise<void> {
    const graph = kept(this.forwards, block, () => this.buildForward(block));
    await graph.compute({ signal });
  }

  /**
   * A forward pass that also keeps what the block's matrices are multiplied with: [inputs, positions] by the first matrix that
   * reads it. Valid until the lane's next pass of this kind.
   */
  async forwardKeeping(block: BlockShape, signal?: AbortSignal): Promise<ReadonlyMap<string, Float32Array>> {
    const graph = kept(this.watching, block, () => this.buildForwardKeeping(block));
    await graph.compute({ signal });
    return this.watched as ReadonlyMap<string, Float32Array>;
  }

  /** Rebuilds the block from `input`, then takes `outputGradient` back through it. */
  async backward(block: BlockShape, signal?: AbortSignal): Promise<void> {
    const graph = kept(this.backwards, block, () => this.buildBackward(block));
    await graph.compute({ signal });
  }

  /** Bytes of the lane's streams and of its graphs for these blocks, which are built. */
  byteLength(blocks: readonly BlockShape[]): number {
    const streams = 4 * 4 * this.input.length;
    const graphs = new Set<ComputeGraph>();
    for (const block of blocks) {
      graphs.add(kept(this.forwards, block, () => this.buildForward(block)));
      graphs.add(kept(this.backwards, block, () => this.buildBackward(block)));
    }
    const mask = 4 * this.settings.positions ** 2;
    let bytes = streams;
    for (const graph of graphs) {
      graph.prepare();
      bytes += graph.workBytes + mask;
    }
    return bytes;
  }

  dispose(): void {
    for (const graphs of [this.forwards, this.backwards, this.watching])
      for (const graph of graphs.values()) graph.dispose();
  }

  private buildForward(block: BlockShape): ComputeGraph {
    const { graph, tape, x } = this.begin();
    graph.store(this.build(tape, block, x), this.output);
    return graph;
  }

  private buildForwardKeeping(block: BlockShape): ComputeGraph {
    const { graph, tape, x } = this.begin();
    graph.store(this.build(tape, block, x), this.output);
    const arrays = new Map(this.watched ?? []);
    for (const [name, input] of distinctInputs(tape)) {
      const array = arrays.get(name) ?? alignedFloats(input.shape[0] * input.shape[1]);
      arrays.set(name, array);
      graph.store(input, array);
    }
    this.watched = arrays;
    return graph;
  }

  private buildBackward(block: BlockShape): ComputeGraph {
    const { graph, tape, x } = this.begin();
    const y = this.build(tape, block, x);
    const dx = tape.backward(y, graph.leaf(this.outputGradient, ...y.shape), x);
    graph.store(dx, this.inputGradient);
    for (const product of tape.products) {
      const into = this.squared.get(product.name) as SquaredGradient;
      storeSquaredGradient(graph, product, into);
      storeGrowth(graph, product, into);
    }
    this.storeInnerProducts(graph, tape);
    return graph;
  }

  private storeInnerProducts(graph: ComputeGraph, tape: Tape): void {
    const { weights, changes } = this.settings;
    for (const product of tape.products) {
      const change = changes?.get(product.name);
      const { shape } = weights.matrices.get(product.name) as WeightArray;
      if (change === undefined) continue;
      const into = this.inner.get(product.name) as Float32Array;
      storeInnerProduct(graph, product, graph.leaf(change, ...shape), into);
    }
  }

  private begin(): { graph: ComputeGraph; tape: Tape; x: ReturnType<ComputeGraph['leaf']> } {
    const { engine, model, positions } = this.settings;
    const graph = new ComputeGraph(engine, 1024);
    return { graph, tape: new Tape(graph), x: graph.leaf(this.input, model.width, positions) };
  }

  private build(tape: Tape, block: BlockShape, x: ReturnType<ComputeGraph['leaf']>) {
    const { model, positions, ropeFactors, weights } = this.settings;
    const { graph } = tape;
    return buildBlock(tape, model, block, x, {
      positions: graph.leaf(this.positionNumbers, positions),
      mask: graph.leaf(causalMask(positions, block.window), positions, positions),
      ropeFactors: ropeFactors === null ? null : graph.leaf(ropeFactors, ropeFactors.length),
      weights: new BlockLeaves(graph, weights),
    });
  }
}

/** Inputs by the first matrix that reads them: queries, keys and values share one. */
function distinctInputs(tape: Tape): Map<string, GraphNode> {
  const seen = new Set<GraphNode>();
  const distinct = new Map<string, GraphNode>();
  for (const [name, input] of tape.inputs) {
    if (seen.has(input)) continue;
    seen.add(input);
    distinct.set(name, input);
  }
  return distinct;
}

function kept(graphs: Map<string, ComputeGraph>, block: BlockShape, build: () => ComputeGraph): ComputeGraph {
  const key = JSON.stringify(block);
  const known = graphs.get(key);
  if (known !== undefined) return known;
  const graph = build();
  graphs.set(key, graph);
  return graph;
}

/** [keys, queries]: a query looks at itself and what came before it, at most `window` positions in all. */
function causalMask(positions: number, window: number | null): Float32Array {
  const mask = alignedFloats(positions * positions);
  for (let query = 0; query < positions; query++) {
    for (let key = 0; key < positions; key++) {
      const seen = key <= query && (window === null || query - key < window);
      mask[query * positions + key] = seen ? 0 : -Infinity;
    }
  }
  return mask;
}
