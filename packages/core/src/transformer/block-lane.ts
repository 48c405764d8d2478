/**
 * @file One lane's graphs of a block: a forward and a backward one for each kind of block that the model has (they differ in
 * window and rotary base only). Lanes share the weights and compute side by side, each on one thread and its own sequences, so
 * that no number depends on how many lanes there are.
 */
import { alignedFloats, type ComputeGraph, type GraphNode, type Tape } from '@bitsmith/ggml';
import { blockGraph, type BlockGraphSettings, GraphsByBlock } from './block-graph.js';
import { storeInnerProduct } from './inner-products.js';
import type { BlockShape } from './shape.js';
import {
  emptySquaredGradient,
  type SquaredGradient,
  storeGrowth,
  storeSquaredGradient,
} from './squared-gradient.js';
import { type WeightArray } from './weights.js';

export interface LaneSettings extends BlockGraphSettings {
  /** dW by matrix, where inner products with it are wanted. */
  readonly changes: ReadonlyMap<string, Float32Array> | null;
}

/** What a block's matrices are multiplied with, and how much the loss depends on each position's products. */
export interface WeighedInput {
  /** [inputs, positions] */
  readonly values: Float32Array;
  /** By position: the squared gradients of all outputs that read it, summed. */
  readonly energy: Float32Array;
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
  private readonly forwards = new GraphsByBlock();
  private readonly backwards = new GraphsByBlock();
  private readonly watching = new GraphsByBlock();
  private watched: ReadonlyMap<string, Float32Array> | null = null;
  private readonly weighing = new GraphsByBlock();
  private weighed: ReadonlyMap<string, WeighedInput> | null = null;

  constructor(settings: LaneSettings) {
    const { model, positions, weights, changes } = settings;
    const stream = (): Float32Array => alignedFloats(model.width * positions);
    this.settings = settings;
    this.input = stream();
    this.output = stream();
    this.outputGradient = stream();
    this.inputGradient = stream();
    this.squared = new Map(
      [...weights.matrices].map(([name, { shape }]) => [name, emptySquaredGradient(...shape)]),
    );
    this.inner = new Map([...(changes?.keys() ?? [])].map((name) => [name, alignedFloats(1)]));
  }

  async forward(block: BlockShape, signal?: AbortSignal): Promise<void> {
    const graph = this.forwards.of(block, () => this.buildForward(block));
    await graph.compute({ signal });
  }

  /**
   * A forward pass that also keeps what the block's matrices are multiplied with: [inputs, positions] by the first matrix that
   * reads it. Valid until the lane's next pass of this kind.
   */
  async forwardKeeping(block: BlockShape, signal?: AbortSignal): Promise<ReadonlyMap<string, Float32Array>> {
    const graph = this.watching.of(block, () => this.buildForwardKeeping(block));
    await graph.compute({ signal });
    return this.watched as ReadonlyMap<string, Float32Array>;
  }

  /** Rebuilds the block from `input`, then takes `outputGradient` back through it. */
  async backward(block: BlockShape, signal?: AbortSignal): Promise<void> {
    const graph = this.backwards.of(block, () => this.buildBackward(block));
    await graph.compute({ signal });
  }

  /**
   * A backward pass that gives, instead of what it says of weights, what the block's matrices are multiplied with, by the first
   * matrix that reads it. Valid until the lane's next pass of this kind.
   */
  async backwardKeeping(block: BlockShape, signal?: AbortSignal): Promise<ReadonlyMap<string, WeighedInput>> {
    const graph = this.weighing.of(block, () => this.buildBackwardKeeping(block));
    await graph.compute({ signal });
    return this.weighed as ReadonlyMap<string, WeighedInput>;
  }

  /** Bytes of the lane's streams and of its graphs for these blocks, which are built. */
  byteLength(blocks: readonly BlockShape[]): number {
    const streams = 4 * 4 * this.input.length;
    const graphs = new Set<ComputeGraph>();
    for (const block of blocks) {
      graphs.add(this.forwards.of(block, () => this.buildForward(block)));
      graphs.add(this.backwards.of(block, () => this.buildBackward(block)));
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
    for (const graphs of [this.forwards, this.backwards, this.watching, this.weighing]) graphs.dispose();
  }

  private buildForward(block: BlockShape): ComputeGraph {
    const { graph, y } = blockGraph(this.settings, block, this.input);
    graph.store(y, this.output);
    return graph;
  }

  private buildForwardKeeping(block: BlockShape): ComputeGraph {
    const { graph, tape, y } = blockGraph(this.settings, block, this.input);
    graph.store(y, this.output);
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
    const { graph, tape, x, y } = blockGraph(this.settings, block, this.input);
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

  private buildBackwardKeeping(block: BlockShape): ComputeGraph {
    const { graph, tape, x, y } = blockGraph(this.settings, block, this.input);
    const dx = tape.backward(y, graph.leaf(this.outputGradient, ...y.shape), x);
    graph.store(dx, this.inputGradient);
    const kept = new Map(this.weighed ?? []);
    for (const [name, input] of distinctInputs(tape)) {
      const place = kept.get(name) ?? {
        values: alignedFloats(input.shape[0] * input.shape[1]),
        energy: alignedFloats(input.shape[1]),
      };
      kept.set(name, place);
      graph.store(input, place.values);
      const energies = tape.products
        .filter((product) => product.input === input)
        .map(({ outputGradient }) => graph.sumRows(graph.square(outputGradient)));
      graph.store(
        energies.reduce((sum, energy) => graph.add(sum, energy)),
        place.energy,
      );
    }
    this.weighed = kept;
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
