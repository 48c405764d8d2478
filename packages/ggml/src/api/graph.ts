/**
 * @file Computations of our own on ggml: a graph of operations over float tensors, built once, computed often. What goes in
 * and what comes out are typed arrays of JavaScript that native code reads and writes in place; everything between lies in
 * memory that ggml's allocator reuses from operation to operation. Every graph computes on one thread: work is spread by
 * computing several graphs side by side, because threads that share a graph wait for each other at every node.
 *
 * Shapes are in ggml's order, row length first, and always four numbers long. An operation whose shapes do not fit is refused here: ggml
 * would end the process.
 */
import type { RopeArguments } from '../binding/graph.js';
import { ggmlTypes } from '../binding/layout.js';
import type { Engine } from './engine.js';
import { GraphMemory } from './graph-memory.js';
import {
  assertEpsilon,
  assertMask,
  assertPermutation,
  assertRepeats,
  assertRope,
  assertSame,
  elementsOf,
  mismatch,
  shapeOf,
  type GraphNode,
  type RopeSettings,
  type Shape,
} from './graph-shapes.js';
import { misuse } from './validate.js';

const floatBytes = 4;

/**
 * Operations throw `GRAPH_SHAPE` for shapes that do not fit, `GRAPH_ARGUMENT` for other arguments, `GRAPH_NODE` for a value of
 * another graph or of integers, `GRAPH_CAPACITY` when the graph is full, `ENGINE_DISPOSED` after `dispose`.
 */
export class ComputeGraph extends GraphMemory {
  /** Values that several operations want transposed are moved once. */
  private readonly transposes = new Map<GraphNode, GraphNode>();

  /** [k, m] x [k, n] -> [m, n]: sums over the first axis. The weight's third axis repeats over the input's. */
  multiply(weight: GraphNode, input: GraphNode): GraphNode {
    const [k, m, c, d] = weight.shape;
    const [k2, n, c2, d2] = input.shape;
    if (k !== k2 || c2 % c !== 0 || d2 % d !== 0) throw mismatch('multiply', weight.shape, input.shape);
    const [a, b] = [this.withRows(weight), this.withRows(input)];
    return this.create({ shape: [m, n, c2, d2] }, [a, b], ({ ggml_mul_mat }, context) =>
      ggml_mul_mat(context, a.address, b.address),
    );
  }

  /** Elementwise; `b` is repeated along an axis where it is shorter. */
  add(a: GraphNode, b: GraphNode): GraphNode {
    return this.elementwise('add', 'ggml_add', a, b);
  }

  subtract(a: GraphNode, b: GraphNode): GraphNode {
    return this.elementwise('subtract', 'ggml_sub', a, b);
  }

  times(a: GraphNode, b: GraphNode): GraphNode {
    return this.elementwise('times', 'ggml_mul', a, b);
  }

  /** factor * a + offset */
  scale(a: GraphNode, factor: number, offset = 0): GraphNode {
    const dense = this.dense(a);
    return this.create({ shape: a.shape }, [dense], ({ ggml_scale_bias }, context) =>
      ggml_scale_bias(context, dense.address, factor, offset),
    );
  }

  square(a: GraphNode): GraphNode {
    return this.unary('ggml_sqr', a);
  }

  tanh(a: GraphNode): GraphNode {
    return this.unary('ggml_tanh', a);
  }

  silu(a: GraphNode): GraphNode {
    return this.unary('ggml_silu', a);
  }

  /** In its tanh form, looked up in a table of half floats as llama.cpp does: exact to 11 bits. */
  gelu(a: GraphNode): GraphNode {
    return this.unary('ggml_gelu', a);
  }

  /** Gradient of the input from that of the output and the input. */
  siluBack(dy: GraphNode, x: GraphNode): GraphNode {
    assertSame('siluBack', dy, x);
    const [a, b] = [this.dense(dy), this.dense(x)];
    return this.create({ shape: x.shape }, [a, b], ({ ggml_silu_back }, context) =>
      ggml_silu_back(context, a.address, b.address),
    );
  }

  /** [n, ...] -> [1, ...] */
  sumRows(a: GraphNode): GraphNode {
    const rows = this.withRows(a);
    const shape: Shape = [1, a.shape[1], a.shape[2], a.shape[3]];
    return this.create({ shape }, [rows], ({ ggml_sum_rows }, context) =>
      ggml_sum_rows(context, rows.address),
    );
  }

  /** Sums repetitions along every axis until the shape is `extents`: what `add` repeats, added up again. */
  sumRepeats(a: GraphNode, ...extents: readonly number[]): GraphNode {
    const shape = shapeOf('sumRepeats', extents);
    assertRepeats('sumRepeats', shape, a.shape);
    const dense = this.dense(a);
    const like = this.create({ shape }, [], ({ ggml_new_tensor_4d }, context) =>
      ggml_new_tensor_4d(context, ggmlTypes.F32, ...shape),
    );
    return this.create({ shape }, [dense], ({ ggml_repeat_back }, context) =>
      ggml_repeat_back(context, dense.address, like.address),
    );
  }

  rmsNorm(a: GraphNode, epsilon: number): GraphNode {
    assertEpsilon(epsilon);
    const rows = this.withRows(a);
    return this.create({ shape: a.shape }, [rows], ({ ggml_rms_norm }, context) =>
      ggml_rms_norm(context, rows.address, epsilon),
    );
  }

  rmsNormBack(dy: GraphNode, x: GraphNode, epsilon: number): GraphNode {
    assertSame('rmsNormBack', dy, x);
    assertEpsilon(epsilon);
    const [a, b] = [this.withRows(dy), this.withRows(x)];
    return this.create({ shape: x.shape }, [a, b], ({ ggml_rms_norm_back }, context) =>
      ggml_rms_norm_back(context, a.address, b.address, epsilon),
    );
  }

  /** softmax(factor * a + mask) along the first axis; `mask` is [first axis, second axis] or nothing. */
  softmax(a: GraphNode, mask: GraphNode | null, factor = 1): GraphNode {
    if (mask !== null) assertMask(a.shape, mask.shape);
    const dense = this.dense(a);
    const added = mask === null ? null : this.dense(mask);
    const inputs = added === null ? [dense] : [dense, added];
    return this.create({ shape: a.shape }, inputs, ({ ggml_soft_max_ext }, context) =>
      ggml_soft_max_ext(context, dense.address, added?.address ?? null, factor, 0),
    );
  }

  /** Gradient of `softmax`'s input from that of its output and the output itself. */
  softmaxBack(dy: GraphNode, y: GraphNode, factor = 1): GraphNode {
    assertSame('softmaxBack', dy, y);
    const rows: Shape = [y.shape[0], elementsOf(y.shape) / y.shape[0], 1, 1];
    const a = this.reshape(dy, ...rows);
    const b = this.keptApart(this.reshape(y, ...rows));
    const dx = this.create({ shape: rows }, [a, b], ({ ggml_soft_max_ext_back }, context) =>
      ggml_soft_max_ext_back(context, a.address, b.address, factor, 0),
    );
    return this.reshape(dx, ...y.shape);
  }

  /**
   * `a` is [head size, heads, positions], `positions` are integers; `factors` divide the frequencies where the model has such: one
   * for each pair of a head, though only the first `dimensions` turn.
   */
  rope(a: GraphNode, positions: GraphNode, factors: GraphNode | null, settings: RopeSettings): GraphNode {
    return this.turned('ggml_rope_ext', a, positions, factors, settings);
  }

  ropeBack(
    dy: GraphNode,
    positions: GraphNode,
    factors: GraphNode | null,
    settings: RopeSettings,
  ): GraphNode {
    return this.turned('ggml_rope_ext_back', dy, positions, factors, settings);
  }

  /** The same elements in another shape. */
  reshape(a: GraphNode, ...extents: readonly number[]): GraphNode {
    const shape = shapeOf('reshape', extents);
    if (elementsOf(shape) !== elementsOf(a.shape)) throw mismatch('reshape', a.shape, shape);
    const dense = this.dense(a);
    return this.create({ shape }, [dense], ({ ggml_reshape_4d }, context) =>
      ggml_reshape_4d(context, dense.address, ...shape),
    );
  }

  /** Elements `first` up to `first + length` of the first axis; a view. */
  slice(a: GraphNode, first: number, length: number): GraphNode {
    const [n0, n1, n2, n3] = a.shape;
    const whole = Number.isInteger(first) && Number.isInteger(length);
    if (!whole || first < 0 || length < 1 || first + length > n0)
      throw mismatch('slice', `${first} + ${length}`, a.shape);
    const dense = this.dense(a);
    const strides = [n0, n0 * n1, n0 * n1 * n2].map((stride) => stride * floatBytes) as [
      number,
      number,
      number,
    ];
    const layout = { shape: [length, n1, n2, n3] as Shape, contiguous: length === n0 };
    return this.create(layout, [dense], ({ ggml_view_4d }, context) =>
      ggml_view_4d(context, dense.address, length, n1, n2, n3, ...strides, first * floatBytes),
    );
  }

  /** `b` behind `a` along the first axis. */
  concatenate(a: GraphNode, b: GraphNode): GraphNode {
    if (a.shape.some((extent, axis) => axis > 0 && extent !== b.shape[axis]))
      throw mismatch('concatenate', a.shape, b.shape);
    const [first, second] = [this.dense(a), this.dense(b)];
    const shape: Shape = [a.shape[0] + b.shape[0], a.shape[1], a.shape[2], a.shape[3]];
    return this.create({ shape }, [first, second], ({ ggml_concat }, context) =>
      ggml_concat(context, first.address, second.address, 0),
    );
  }

  /** Axis k of `a` becomes axis `axes[k]`; a view. */
  permute(a: GraphNode, ...axes: readonly [number, number, number, number]): GraphNode {
    assertPermutation(axes);
    const shape: [number, number, number, number] = [0, 0, 0, 0];
    axes.forEach((to, from) => (shape[to] = a.shape[from]));
    const contiguous = axes.every((to, from) => to === from) && a.contiguous;
    return this.create(
      { shape, contiguous, rows: axes[0] === 0 && a.rows },
      [a],
      ({ ggml_permute }, context) => ggml_permute(context, a.address, ...axes),
    );
  }

  /** The first two axes exchanged, elements moved. */
  transpose(a: GraphNode): GraphNode {
    const known = this.transposes.get(a);
    if (known !== undefined) return known;
    const transposed = this.dense(this.permute(a, 1, 0, 2, 3));
    this.transposes.set(a, transposed);
    return transposed;
  }

  /** A copy whose elements lie one after the other, or the node itself where they do. */
  dense(a: GraphNode): GraphNode {
    return a.contiguous ? a : this.copy(a);
  }

  /**
   * A view of rows whose memory the allocator gives to no result: it reuses an operand's where strides are equal, and the last
   * stride of a single matrix can be anything. ggml's gradient of a softmax overwrites its second operand before it has read it.
   */
  private keptApart(a: GraphNode): GraphNode {
    const [length, rows] = a.shape;
    const stride = length * floatBytes;
    return this.create({ shape: a.shape }, [a], ({ ggml_view_4d }, context) =>
      ggml_view_4d(
        context,
        a.address,
        length,
        rows,
        1,
        1,
        stride,
        stride * rows,
        stride * rows + floatBytes,
        0,
      ),
    );
  }

  private unary(name: 'ggml_sqr' | 'ggml_tanh' | 'ggml_silu' | 'ggml_gelu', a: GraphNode): GraphNode {
    const dense = this.dense(a);
    return this.create({ shape: a.shape }, [dense], (native, context) =>
      native[name](context, dense.address),
    );
  }

  private elementwise(
    operation: string,
    name: 'ggml_add' | 'ggml_sub' | 'ggml_mul',
    a: GraphNode,
    b: GraphNode,
  ): GraphNode {
    assertRepeats(operation, b.shape, a.shape);
    const [left, right] = [this.withRows(a), this.withRows(b)];
    return this.create({ shape: a.shape }, [left, right], (native, context) =>
      native[name](context, left.address, right.address),
    );
  }

  private turned(
    name: 'ggml_rope_ext' | 'ggml_rope_ext_back',
    a: GraphNode,
    positions: GraphNode,
    factors: GraphNode | null,
    settings: RopeSettings,
  ): GraphNode {
    assertRope(a.shape, positions, factors, settings);
    if (positions.type !== 'I32') throw misuse('GRAPH_NODE', 'positions as integers', 'floats');
    const rows = this.withRows(a);
    const divisors = factors === null ? null : this.dense(factors);
    this.assertOwn(positions);
    const inputs = divisors === null ? [rows] : [rows, divisors];
    const { dimensions, mode, originalContext, base, scale, extrapolation, attention } = settings;
    return this.create({ shape: a.shape }, inputs, (native, context) => {
      const turning: RopeArguments = [
        context,
        rows.address,
        positions.address,
        divisors?.address ?? null,
        dimensions,
        mode,
        originalContext,
        base,
        scale,
        extrapolation,
        attention,
        settings.betaFast,
        settings.betaSlow,
      ];
      return native[name](...turning);
    });
  }
}

/**
 * Builds a graph, computes it once, and gives its memory back.
 * @param capacity nodes, at most
 * @param build says by `store` what is wanted
 */
export async function computeOnce(
  engine: Engine,
  capacity: number,
  build: (graph: ComputeGraph) => void,
  signal?: AbortSignal,
): Promise<void> {
  const graph = new ComputeGraph(engine, capacity);
  try {
    build(graph);
    await graph.compute({ signal });
  } finally {
    graph.dispose();
  }
}
