/**
 * @file Reverse-mode differentiation of graphs: every operation here adds itself to a tape with the rule for its gradient,
 * and `backward` walks the tape from the end. Rules are ggml's own operations where it has them, and compositions of them
 * where it has none (GELU) or only slow ones (products with a weight: a product with a transposed copy).
 *
 * Constants (weights, masks, positions) get no gradient: what weights are worth is read from the products' inputs and
 * output gradients, which `products` lists.
 */
import type { ComputeGraph } from './graph.js';
import { assertSame, type GraphNode, mismatch, type RopeSettings } from './graph-shapes.js';
import { misuse } from './validate.js';

/** A weight matrix for both directions: [inputs, outputs] and its transposed copy, [outputs, inputs]. */
export interface DifferentiableWeight {
  readonly name: string;
  readonly forward: GraphNode;
  readonly transposed: GraphNode | null;
}

/** One product of a weight with an input: after `backward` with the gradient of its output. */
export interface WeightProduct {
  readonly name: string;
  /** [inputs, positions] */
  readonly input: GraphNode;
  /** [outputs, positions] */
  readonly output: GraphNode;
  /** [outputs, positions] */
  readonly outputGradient: GraphNode;
}

interface Step {
  readonly outputs: readonly GraphNode[];
  /** Adds to the gradients of the step's inputs, from those of the outputs; undefined where nothing depends on an output. */
  readonly back: (gradients: readonly (GraphNode | undefined)[]) => void;
}

export class Tape {
  readonly graph: ComputeGraph;
  private readonly steps: Step[] = [];
  private readonly gradients = new Map<GraphNode, GraphNode>();
  private readonly found: WeightProduct[] = [];
  private readonly read = new Map<string, GraphNode>();
  private walked = false;

  constructor(graph: ComputeGraph) {
    this.graph = graph;
  }

  /** Products with weights in the order in which `backward` met them. */
  get products(): readonly WeightProduct[] {
    return this.found;
  }

  /** What every weight is multiplied with, by the weight's name, from the forward pass on. */
  get inputs(): ReadonlyMap<string, GraphNode> {
    return this.read;
  }

  /** weight x input: [inputs, outputs] x [inputs, positions] -> [outputs, positions] */
  linear(weight: DifferentiableWeight, x: GraphNode): GraphNode {
    const { graph } = this;
    this.read.set(weight.name, x);
    const y = graph.multiply(weight.forward, x);
    return this.step(y, (dy) => {
      this.found.push({ name: weight.name, input: x, output: y, outputGradient: dy });
      if (weight.transposed !== null) this.accumulate(x, graph.multiply(weight.transposed, dy));
    });
  }

  /** Product of two values that both have gradients: [k, m, c] x [k, n, c * r] -> [m, n, c * r]. */
  matrixProduct(a: GraphNode, b: GraphNode): GraphNode {
    const { graph } = this;
    if (a.shape[3] !== 1 || b.shape[3] !== 1) throw mismatch('matrixProduct', a.shape, b.shape);
    return this.step(graph.multiply(a, b), (dy) => {
      this.accumulate(b, graph.multiply(graph.transpose(a), dy));
      const full = graph.multiply(graph.transpose(b), graph.transpose(dy));
      this.accumulate(a, this.sumOfRepeats(full, a));
    });
  }

  add(a: GraphNode, b: GraphNode): GraphNode {
    assertSame('add', a, b);
    return this.step(this.graph.add(a, b), (dy) => {
      this.accumulate(a, dy);
      this.accumulate(b, dy);
    });
  }

  /** Adds a constant, repeated where it is shorter. */
  addConstant(a: GraphNode, constant: GraphNode): GraphNode {
    return this.step(this.graph.add(a, constant), (dy) => this.accumulate(a, dy));
  }

  /** Multiplies by a constant, repeated where it is shorter. */
  timesConstant(a: GraphNode, constant: GraphNode): GraphNode {
    return this.step(this.graph.times(a, constant), (dy) =>
      this.accumulate(a, this.graph.times(dy, constant)),
    );
  }

  times(a: GraphNode, b: GraphNode): GraphNode {
    assertSame('times', a, b);
    return this.step(this.graph.times(a, b), (dy) => {
      this.accumulate(a, this.graph.times(dy, b));
      this.accumulate(b, this.graph.times(dy, a));
    });
  }

  scale(a: GraphNode, factor: number): GraphNode {
    return this.step(this.graph.scale(a, factor), (dy) => this.accumulate(a, this.graph.scale(dy, factor)));
  }

  rmsNorm(a: GraphNode, epsilon: number): GraphNode {
    return this.step(this.graph.rmsNorm(a, epsilon), (dy) =>
      this.accumulate(a, this.graph.rmsNormBack(dy, a, epsilon)),
    );
  }

  silu(a: GraphNode): GraphNode {
    return this.step(this.graph.silu(a), (dy) => this.accumulate(a, this.graph.siluBack(dy, a)));
  }

  /** GELU in its tanh form, as ggml computes it. */
  gelu(a: GraphNode): GraphNode {
    return this.step(this.graph.gelu(a), (dy) =>
      this.accumulate(a, this.graph.times(dy, geluSlope(this.graph, a))),
    );
  }

  /** limit * tanh(a / limit) */
  softCap(a: GraphNode, limit: number): GraphNode {
    const { graph } = this;
    const bent = graph.tanh(graph.scale(a, 1 / limit));
    return this.step(graph.scale(bent, limit), (dy) =>
      this.accumulate(a, graph.times(dy, graph.scale(graph.square(bent), -1, 1))),
    );
  }

  softmax(a: GraphNode, mask: GraphNode | null, factor: number): GraphNode {
    const y = this.graph.softmax(a, mask, factor);
    return this.step(y, (dy) => this.accumulate(a, this.graph.softmaxBack(dy, y, factor)));
  }

  rope(a: GraphNode, positions: GraphNode, factors: GraphNode | null, settings: RopeSettings): GraphNode {
    return this.step(this.graph.rope(a, positions, factors, settings), (dy) =>
      this.accumulate(a, this.graph.ropeBack(dy, positions, factors, settings)),
    );
  }

  reshape(a: GraphNode, ...extents: readonly number[]): GraphNode {
    return this.step(this.graph.reshape(a, ...extents), (dy) =>
      this.accumulate(a, this.graph.reshape(dy, ...a.shape)),
    );
  }

  /** Axes exchanged and elements moved; `axes` must be its own inverse. */
  swap(a: GraphNode, ...axes: readonly [number, number, number, number]): GraphNode {
    if (axes.some((to, from) => axes[to] !== from))
      throw misuse('GRAPH_SHAPE', 'swap: axes that are exchanged in pairs', `[${axes.join(', ')}]`);
    const moved = (node: GraphNode): GraphNode => this.graph.dense(this.graph.permute(node, ...axes));
    return this.step(moved(a), (dy) => this.accumulate(a, moved(dy)));
  }

  /** Cuts the first axis in parts of these lengths. */
  split(a: GraphNode, lengths: readonly number[]): GraphNode[] {
    const { graph } = this;
    if (lengths.reduce((sum, length) => sum + length, 0) !== a.shape[0])
      throw mismatch('split', a.shape, `parts of ${lengths.join(' + ')}`);
    let first = 0;
    const parts = lengths.map((length) => {
      first += length;
      return graph.dense(graph.slice(a, first - length, length));
    });
    this.steps.push({
      outputs: parts,
      back: (gradients) => {
        const whole = gradients.map((dy, index) => dy ?? graph.scale(parts[index], 0));
        this.accumulate(a, concatenate(graph, whole));
      },
    });
    return parts;
  }

  /**
   * Gradients of everything on the tape from that of `output`; returns that of `input`. A tape is walked once.
   * @throws BitsmithError `GRAPH_TAPE`
   */
  backward(output: GraphNode, gradient: GraphNode, input: GraphNode): GraphNode {
    if (this.walked) throw misuse('GRAPH_TAPE', 'a tape that was not walked yet', 'one that was');
    assertSame('backward', output, gradient);
    this.walked = true;
    this.accumulate(output, gradient);
    for (const { outputs, back } of this.steps.toReversed()) {
      const gradients = outputs.map((node) => this.gradients.get(node));
      if (gradients.some((dy) => dy !== undefined)) back(gradients);
    }
    const dx = this.gradients.get(input);
    if (dx === undefined) throw misuse('GRAPH_TAPE', 'an output that depends on the input', 'none that does');
    return dx;
  }

  private step(output: GraphNode, back: (dy: GraphNode) => void): GraphNode {
    this.steps.push({ outputs: [output], back: ([dy]) => back(dy as GraphNode) });
    return output;
  }

  private accumulate(node: GraphNode, gradient: GraphNode): void {
    const known = this.gradients.get(node);
    this.gradients.set(node, known === undefined ? gradient : this.graph.add(known, gradient));
  }

  /** Heads that share keys and values follow each other: their gradients are summed. */
  private sumOfRepeats(full: GraphNode, like: GraphNode): GraphNode {
    const { graph } = this;
    const [k, m, heads] = full.shape;
    const kept = like.shape[2];
    if (heads === kept) return full;
    const grouped = graph.reshape(full, k * m, heads / kept, kept);
    return graph.reshape(graph.sumRepeats(grouped, k * m, 1, kept), k, m, kept);
  }
}

/** d/dx [x/2 (1 + tanh u)], u = c (x + k x^3): (1 + tanh u) / 2 + x/2 (1 - tanh^2 u) c (1 + 3 k x^2). */
function geluSlope(graph: ComputeGraph, x: GraphNode): GraphNode {
  const c = Math.sqrt(2 / Math.PI);
  const k = 0.044715;
  const squared = graph.square(x);
  const bent = graph.tanh(graph.times(graph.scale(squared, c * k, c), x));
  const inner = graph.scale(squared, (3 * c * k) / 2, c / 2);
  const outer = graph.scale(graph.square(bent), -1, 1);
  return graph.add(graph.scale(bent, 1 / 2, 1 / 2), graph.times(graph.times(outer, inner), x));
}

function concatenate(graph: ComputeGraph, parts: readonly GraphNode[]): GraphNode {
  return parts.reduce((all, part) => graph.concatenate(all, part));
}
