/**
 * @file One lane's way through a block with inputs of all matrices rounded: five graphs, and between them the rounding, which no
 * graph can do. Lanes share the weights, as those of the exact model do.
 */
import { alignedFloats, ComputeGraph, type GraphNode, Tape } from '@bitsmith/ggml';
import { buildEnd, buildGate, buildHeads, buildMiddle, normed } from '../../transformer/block.js';
import { type BlockGraphSettings, causalMask, GraphsByBlock } from '../../transformer/block-graph.js';
import { blockTensorName } from '../../transformer/block-weights.js';
import type { BlockShape } from '../../transformer/shape.js';
import { type WeightArray } from '../../transformer/weights.js';
import type { ActivationRounder } from './activation-rounder.js';
import { Int8Parts, type Int8Weights } from './int8-parts.js';

export interface Int8LaneSettings extends BlockGraphSettings {
  readonly weights: Int8Weights;
  readonly rounder: ActivationRounder;
}

/** Most nodes of a graph here. */
const CAPACITY = 256;

export class Int8Lane {
  /** [width, positions]: the stream before the block. */
  readonly input: Float32Array;
  /** The stream behind it. */
  readonly output: Float32Array;
  private readonly settings: Int8LaneSettings;
  private readonly tokenScales: Float32Array;
  /** [columns, positions] of what is rounded, and of the codes: for the stream, the heads, and the feed-forward network. */
  private readonly stream: { readonly values: Float32Array; readonly codes: Float32Array };
  private readonly heads: { readonly values: Float32Array; readonly codes: Float32Array };
  private readonly opened: { readonly values: Float32Array; readonly codes: Float32Array };
  private readonly middle: Float32Array;
  private readonly graphs: { readonly begin: ComputeGraph; readonly middle: ComputeGraph };
  private readonly ends: { readonly gate: ComputeGraph; readonly end: ComputeGraph };
  private readonly headGraphs = new GraphsByBlock();

  constructor(settings: Int8LaneSettings) {
    const { model, positions, weights } = settings;
    const pair = (columns: number) => ({
      values: alignedFloats(columns * positions),
      codes: alignedFloats(columns * positions),
    });
    this.settings = settings;
    this.input = alignedFloats(model.width * positions);
    this.output = alignedFloats(model.width * positions);
    this.middle = alignedFloats(model.width * positions);
    this.tokenScales = alignedFloats(positions);
    this.stream = pair(model.width);
    this.heads = pair(model.heads * model.headSize);
    this.opened = pair((weights.matrices.get('ffn_down') as WeightArray).shape[0]);
    this.graphs = { begin: this.buildBegin(), middle: this.buildMiddle() };
    this.ends = { gate: this.buildGate(), end: this.buildEnd() };
  }

  /** From `input` to `output` through the block whose codes are loaded. */
  async forward(index: number, block: BlockShape, signal?: AbortSignal): Promise<void> {
    const { weights } = this.settings;
    const { begin, middle } = this.graphs;
    const { gate, end } = this.ends;
    await begin.compute({ signal });
    this.round(index, weights.matrices.has('attn_qkv') ? 'attn_qkv' : 'attn_q', this.stream);
    await this.headGraphs.of(block, () => this.buildHeads(block)).compute({ signal });
    this.round(index, 'attn_output', this.heads);
    await middle.compute({ signal });
    this.round(index, 'ffn_up', this.stream);
    await gate.compute({ signal });
    this.round(index, 'ffn_down', this.opened);
    await end.compute({ signal });
  }

  dispose(): void {
    for (const graph of [...Object.values(this.graphs), ...Object.values(this.ends)]) graph.dispose();
    this.headGraphs.dispose();
  }

  private round(block: number, part: string, pair: { values: Float32Array; codes: Float32Array }): void {
    const { rounder } = this.settings;
    rounder.round({ tensor: blockTensorName(block, part), scales: this.tokenScales, ...pair });
  }

  private buildBegin(): ComputeGraph {
    return this.built((tape, parts) => {
      const x = this.leaf(tape, this.input);
      tape.graph.store(normed(tape, x, parts, 'attn_norm', this.settings.model), this.stream.values);
    });
  }

  private buildHeads(block: BlockShape): ComputeGraph {
    const { model, positions, ropeFactors } = this.settings;
    return this.built((tape, parts) => {
      const { graph } = tape;
      const numbers = Int32Array.from({ length: positions }, (_, index) => index);
      const inputs = {
        positions: graph.leaf(numbers, positions),
        mask: graph.leaf(causalMask(positions, block.window), positions, positions),
        ropeFactors: ropeFactors === null ? null : graph.leaf(ropeFactors, ropeFactors.length),
        weights: parts,
      };
      graph.store(
        buildHeads(tape, model, block, this.leaf(tape, this.stream.codes), inputs),
        this.heads.values,
      );
    });
  }

  private buildMiddle(): ComputeGraph {
    const { model } = this.settings;
    return this.built((tape, parts) => {
      const heads = this.leaf(tape, this.heads.codes);
      const middle = buildMiddle(tape, model, heads, this.leaf(tape, this.input), parts);
      tape.graph.store(middle, this.middle);
      tape.graph.store(normed(tape, middle, parts, 'ffn_norm', model), this.stream.values);
    });
  }

  private buildGate(): ComputeGraph {
    return this.built((tape, parts) => {
      const gated = buildGate(tape, this.settings.model, this.leaf(tape, this.stream.codes), parts);
      tape.graph.store(gated, this.opened.values);
    });
  }

  private buildEnd(): ComputeGraph {
    return this.built((tape, parts) => {
      const [opened, middle] = [this.leaf(tape, this.opened.codes), this.leaf(tape, this.middle)];
      tape.graph.store(buildEnd(tape, this.settings.model, opened, middle, parts), this.output);
    });
  }

  private built(build: (tape: Tape, parts: Int8Parts) => void): ComputeGraph {
    const graph = new ComputeGraph(this.settings.engine, CAPACITY);
    build(new Tape(graph), new Int8Parts(graph, this.settings.weights, this.tokenScales));
    return graph;
  }

  private leaf({ graph }: Tape, values: Float32Array): GraphNode {
    const { positions } = this.settings;
    return graph.leaf(values, values.length / positions, positions);
  }
}
