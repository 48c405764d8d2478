/**
 * @file One lane's graphs of a block whose weights are learned: forward, and forward with the error against what the whole model makes
 * of the same sequence taken back to the products with the weights. What comes of it are those products' inputs and output gradients:
 * gradients of weights are made from them for all sequences of a step at once.
 */
import { alignedFloats, type ComputeGraph } from '@bitsmith/ggml';
import { blockGraph, type BlockGraphSettings, GraphsByBlock } from '../../transformer/block-graph.js';
import type { BlockShape } from '../../transformer/shape.js';

export interface LearningLaneSettings extends BlockGraphSettings {
  /** Names within the block. */
  readonly learned: ReadonlySet<string>;
  /** [width]: what a squared error of each channel of the stream counts. */
  readonly channelWeights: Float32Array;
}

/** One product with a weight: what its gradient is made of. */
export interface ProductArrays {
  /** [inputs, positions]; products of one input share it. */
  readonly input: Float32Array;
  /** [outputs, positions] */
  readonly outputGradient: Float32Array;
}

export class LearningLane {
  /** [width, positions]: the stream before the block, to be filled before either pass. */
  readonly input: Float32Array;
  /** What the stream behind the block should be, to be filled before a backward pass. */
  readonly target: Float32Array;
  /** The stream behind the block, after either pass. */
  readonly output: Float32Array;
  private readonly settings: LearningLaneSettings;
  private readonly forwards = new GraphsByBlock();
  private readonly backwards = new GraphsByBlock();
  private readonly arrays = new Map<string, ProductArrays>();

  constructor(settings: LearningLaneSettings) {
    const elements = settings.model.width * settings.positions;
    this.settings = settings;
    this.input = alignedFloats(elements);
    this.target = alignedFloats(elements);
    this.output = alignedFloats(elements);
  }

  async forward(block: BlockShape): Promise<void> {
    await this.forwards.of(block, () => this.buildForward(block)).compute();
  }

  /** The gradient is that of the summed weighted squares of `output` less `target`, halved. */
  async backward(block: BlockShape): Promise<ReadonlyMap<string, ProductArrays>> {
    await this.backwards.of(block, () => this.buildBackward(block)).compute();
    return this.arrays;
  }

  dispose(): void {
    this.forwards.dispose();
    this.backwards.dispose();
  }

  private buildForward(block: BlockShape): ComputeGraph {
    const { graph, y } = blockGraph(this.settings, block, this.input);
    graph.store(y, this.output);
    return graph;
  }

  private buildBackward(block: BlockShape): ComputeGraph {
    const { graph, tape, x, y } = blockGraph(this.settings, block, this.input);
    const { channelWeights, learned } = this.settings;
    const error = graph.subtract(y, graph.leaf(this.target, ...y.shape));
    graph.store(y, this.output);
    // Nothing of the gradient of the stream before the block is stored, so that it is not computed either.
    tape.backward(y, graph.times(error, graph.leaf(channelWeights, channelWeights.length)), x);
    const inputs = new Map<unknown, Float32Array>();
    for (const { name, input, outputGradient } of tape.products) {
      if (!learned.has(name)) continue;
      const known = this.arrays.get(name);
      const shared = inputs.get(input);
      const arrays: ProductArrays = known ?? {
        input: shared ?? alignedFloats(input.shape[0] * input.shape[1]),
        outputGradient: alignedFloats(outputGradient.shape[0] * outputGradient.shape[1]),
      };
      this.arrays.set(name, arrays);
      if (shared === undefined) graph.store(input, arrays.input);
      inputs.set(input, arrays.input);
      graph.store(outputGradient, arrays.outputGradient);
    }
    return graph;
  }
}
