/**
 * @file One transformer block as a differentiable graph: attention with grouped heads, rotary positions and optional norms of
 * queries and keys, then a gated feed-forward network, each behind a norm and added to the stream. Parts that a family lacks
 * are left out by what the file holds: fused projections, biases, norms behind the two halves.
 */
import type { ComputeGraph, DifferentiableWeight, GraphNode, Tape } from '@bitsmith/ggml';
import type { BlockShape, TransformerShape } from './shape.js';
import type { BlockWeights } from './block-weights.js';

/** What a block's graph reads besides the stream. */
export interface BlockInputs {
  readonly positions: GraphNode;
  /** [keys, queries]: 0 where a query may look, -Infinity elsewhere. */
  readonly mask: GraphNode;
  /** Divisors of the rotary frequencies, where the model has such. */
  readonly ropeFactors: GraphNode | null;
  readonly weights: BlockParts;
}

/** A block's weights as its graph reads them: what it is multiplied with, and how, is the affair of whoever has them. */
export interface BlockParts {
  has(name: string): boolean;
  /** The product with a matrix, its bias added where it has one. */
  linear(tape: Tape, x: GraphNode, name: string): GraphNode;
  vector(name: string): GraphNode | undefined;
}

/** A block's weights as leaves of one graph. */
export class BlockLeaves implements BlockParts {
  private readonly matrices = new Map<string, DifferentiableWeight>();
  private readonly vectors = new Map<string, GraphNode>();

  constructor(graph: ComputeGraph, weights: BlockWeights) {
    for (const [name, { shape, values, transposed }] of weights.matrices) {
      const [rowLength, rows] = shape;
      this.matrices.set(name, {
        name,
        forward: graph.leaf(values, rowLength, rows),
        transposed: transposed === null ? null : graph.leaf(transposed, rows, rowLength),
      });
    }
    for (const [name, values] of weights.vectors) this.vectors.set(name, graph.leaf(values, values.length));
  }

  has(name: string): boolean {
    return this.matrices.has(name);
  }

  linear(tape: Tape, x: GraphNode, name: string): GraphNode {
    const y = tape.linear(this.matrices.get(name) as DifferentiableWeight, x);
    const bias = this.vectors.get(`${name}.bias`);
    return bias === undefined ? y : tape.addConstant(y, bias);
  }

  vector(name: string): GraphNode | undefined {
    return this.vectors.get(name);
  }
}

/** The stream behind the block, from the stream before it: [width, positions]. */
export function buildBlock(
  tape: Tape,
  model: TransformerShape,
  block: BlockShape,
  x: GraphNode,
  inputs: BlockInputs,
): GraphNode {
  const { weights } = inputs;
  const mixed = buildHeads(tape, model, block, normed(tape, x, weights, 'attn_norm', model), inputs);
  const middle = buildMiddle(tape, model, mixed, x, weights);
  const opened = buildGate(tape, model, normed(tape, middle, weights, 'ffn_norm', model), weights);
  return buildEnd(tape, model, opened, middle, weights);
}

/** What the heads look up, side by side, from what is behind the first norm. */
export function buildHeads(
  tape: Tape,
  model: TransformerShape,
  block: BlockShape,
  x: GraphNode,
  inputs: BlockInputs,
): GraphNode {
  const { heads, keyValueHeads, headSize, attentionScale, scaledQueries } = model;
  const { weights, positions, mask, ropeFactors } = inputs;
  const count = x.shape[1];
  const [q, k, v] = project(tape, model, x, weights);
  const turned = (part: GraphNode, partHeads: number, norm: string): GraphNode => {
    const split = tape.reshape(part, headSize, partHeads, count);
    const ready = normedIfThere(tape, split, weights, norm, model);
    return tape.swap(tape.rope(ready, positions, ropeFactors, block.rope), 0, 2, 1, 3);
  };
  const plain = turned(q, heads, 'attn_q_norm');
  const queries = scaledQueries ? tape.scale(plain, attentionScale) : plain;
  const keys = turned(k, keyValueHeads, 'attn_k_norm');
  const products = tape.matrixProduct(keys, queries);
  const shares = tape.softmax(products, mask, scaledQueries ? 1 : attentionScale);
  const values = tape.swap(tape.reshape(v, headSize, keyValueHeads, count), 0, 2, 1, 3);
  const mixed = tape.matrixProduct(tape.swap(values, 1, 0, 2, 3), shares);
  return tape.reshape(tape.swap(mixed, 0, 2, 1, 3), headSize * heads, count);
}

/** The stream between the two halves of a block. */
export function buildMiddle(
  tape: Tape,
  model: TransformerShape,
  heads: GraphNode,
  x: GraphNode,
  weights: BlockParts,
): GraphNode {
  const attended = weights.linear(tape, heads, 'attn_output');
  return tape.add(normedIfThere(tape, attended, weights, 'post_attention_norm', model), x);
}

/** What the last matrix of the feed-forward network reads, from what is behind the second norm. */
export function buildGate(
  tape: Tape,
  { activation }: TransformerShape,
  x: GraphNode,
  weights: BlockParts,
): GraphNode {
  const up = weights.linear(tape, x, 'ffn_up');
  const half = up.shape[0] / 2;
  const [gate, value] = weights.has('ffn_gate')
    ? [weights.linear(tape, x, 'ffn_gate'), up]
    : tape.split(up, [half, half]);
  const open = activation === 'gelu' ? tape.gelu(gate) : tape.silu(gate);
  return tape.times(open, value);
}

/** The stream behind the block. */
export function buildEnd(
  tape: Tape,
  model: TransformerShape,
  opened: GraphNode,
  middle: GraphNode,
  weights: BlockParts,
): GraphNode {
  const fed = weights.linear(tape, opened, 'ffn_down');
  return tape.add(normedIfThere(tape, fed, weights, 'post_ffw_norm', model), middle);
}

/** Queries, keys and values: from three matrices or from one. */
function project(
  tape: Tape,
  { heads, keyValueHeads, headSize }: TransformerShape,
  x: GraphNode,
  weights: BlockParts,
): GraphNode[] {
  if (!weights.has('attn_qkv'))
    return ['attn_q', 'attn_k', 'attn_v'].map((name) => weights.linear(tape, x, name));
  const lengths = [heads, keyValueHeads, keyValueHeads].map((count) => count * headSize);
  return tape.split(weights.linear(tape, x, 'attn_qkv'), lengths);
}

export function normed(
  tape: Tape,
  x: GraphNode,
  weights: BlockParts,
  name: string,
  model: TransformerShape,
): GraphNode {
  return tape.timesConstant(tape.rmsNorm(x, model.epsilon), weights.vector(name) as GraphNode);
}

function normedIfThere(
  tape: Tape,
  x: GraphNode,
  weights: BlockParts,
  name: string,
  model: TransformerShape,
): GraphNode {
  return weights.vector(name) === undefined ? x : normed(tape, x, weights, name, model);
}
