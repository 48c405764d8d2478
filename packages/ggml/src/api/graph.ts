/**
 * @file Computations of our own on ggml: a graph of operations over float tensors, built once, computed often. What goes in
 * and what comes out are typed arrays of JavaScript that native code reads and writes in place; everything between lies in
 * memory that ggml's allocator reuses from operation to operation. Every graph computes on one thread: work is spread by
 * computing several graphs side by side, because threads that share a graph wait for each other at every node.
 *
 * Shapes are in ggml's order, row length first, and always four numbers long. An operation whose shapes do not fit is refused here: ggml
 * would end the process.
 */
import { BitsmithError } from '@bitsmith/formats';
import { callHolding } from '../binding/async.js';
import { setThreadsFunction, type RopeArguments } from '../binding/graph.js';
import { deviceTypes, ggmlTypes, tensorLayout } from '../binding/layout.js';
import { addressOf, writePointer } from '../binding/memory.js';
import type { Address } from '../binding/structs.js';
import type { Engine } from './engine.js';
import { Lifetime } from './lifetime.js';
import { misuse } from './validate.js';

export type Shape = readonly [number, number, number, number];

/** A value of a graph: a typed array given to it, or the result of an operation. */
export interface GraphNode {
  readonly shape: Shape;
  /** False for views whose elements do not lie one after the other. */
  readonly contiguous: boolean;
  /** @internal */
  readonly address: Address;
}

/** Rotary position embedding as ggml defines it; `mode` 0 pairs neighbours, 2 pairs halves (NeoX). */
export interface RopeSettings {
  readonly dimensions: number;
  readonly mode: 0 | 2;
  readonly originalContext: number;
  readonly base: number;
  readonly scale: number;
  readonly extrapolation: number;
  readonly attention: number;
  readonly betaFast: number;
  readonly betaSlow: number;
}

const floatBytes = 4;

export class ComputeGraph {
  private readonly engine: Engine;
  private readonly context: Address;
  private readonly graph: Address;
  private readonly lifetime = new Lifetime('graph');
  private readonly arrays: ArrayBufferView[] = [];
  private allocator: Address | undefined;
  private backend: Address | undefined;
  private computing = false;

  /** @param capacity most nodes that the graph will have, leaves included */
  constructor(engine: Engine, capacity = 4096) {
    const { native } = engine;
    const overhead = Number(native.ggml_tensor_overhead()) * capacity;
    const size = overhead + Number(native.ggml_graph_overhead_custom(capacity, false)) + 4096;
    const context = native.ggml_init({ mem_size: size, mem_buffer: null, no_alloc: true });
    if (context === null) throw outOfMemory(size);
    this.engine = engine;
    this.context = context;
    this.graph = native.ggml_new_graph_custom(context, capacity, false);
  }

  /** A value that lives in `array`, read (or written by `store`) in place at every computation. */
  leaf(array: Float32Array | Int32Array, ...extents: readonly number[]): GraphNode {
    const shape = shapeOf(extents);
    if (count(shape) !== array.length || array.length === 0)
      throw mismatch('leaf', `${array.length} elements`, shape);
    const type = array instanceof Int32Array ? ggmlTypes.I32 : ggmlTypes.F32;
    const address = this.engine.native.ggml_new_tensor_4d(this.context, type, ...shape);
    writePointer(address + BigInt(tensorLayout.data), addressOf(array));
    this.arrays.push(array);
    return { shape, contiguous: true, address };
  }

  /** Computes `node` whenever the graph is computed, and puts it into `array`. */
  store(node: GraphNode, array: Float32Array): void {
    const target = this.leaf(array, ...node.shape);
    this.want(this.make(this.engine.native.ggml_cpy(this.context, node.address, target.address), node.shape));
  }

  /** [k, m] x [k, n] -> [m, n]: sums over the first axis. The weight's third axis repeats over the input's. */
  multiply(weight: GraphNode, input: GraphNode): GraphNode {
    const [k, m, c, d] = weight.shape;
    const [k2, n, c2, d2] = input.shape;
    if (k !== k2 || c2 % c !== 0 || d2 % d !== 0) throw mismatch('multiply', weight.shape, input.shape);
    const { ggml_mul_mat } = this.engine.native;
    return this.make(ggml_mul_mat(this.context, weight.address, input.address), [m, n, c2, d2]);
  }

  /** Elementwise; `b` may be shorter along an axis whose extent is 1. */
  add(a: GraphNode, b: GraphNode): GraphNode {
    return this.elementwise('ggml_add', a, b);
  }

  subtract(a: GraphNode, b: GraphNode): GraphNode {
    return this.elementwise('ggml_sub', a, b);
  }

  times(a: GraphNode, b: GraphNode): GraphNode {
    return this.elementwise('ggml_mul', a, b);
  }

  /** factor * a + offset */
  scale(a: GraphNode, factor: number, offset = 0): GraphNode {
    return this.make(
      this.engine.native.ggml_scale_bias(this.context, this.dense(a).address, factor, offset),
      a.shape,
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

  gelu(a: GraphNode): GraphNode {
    return this.unary('ggml_gelu', a);
  }

  /** Gradient of the input from that of the output and the input. */
  siluBack(dy: GraphNode, x: GraphNode): GraphNode {
    return this.pair('ggml_silu_back', dy, x, x.shape);
  }

  /** [n, ...] -> [1, ...] */
  sumRows(a: GraphNode): GraphNode {
    return this.make(
      this.engine.native.ggml_sum_rows(this.context, a.address),
      [1, a.shape[1], a.shape[2], a.shape[3]],
    );
  }

  /** Sums neighbours along every axis but the first, until the shape is `extents`. */
  sumNeighbours(a: GraphNode, ...extents: readonly number[]): GraphNode {
    const shape = shapeOf(extents);
    if (shape.some((extent, axis) => a.shape[axis] % extent !== 0))
      throw mismatch('sumNeighbours', a.shape, shape);
    const like = this.engine.native.ggml_new_tensor_4d(this.context, ggmlTypes.F32, ...shape);
    const { ggml_repeat_back } = this.engine.native;
    return this.make(ggml_repeat_back(this.context, this.dense(a).address, like), shape);
  }

  rmsNorm(a: GraphNode, epsilon: number): GraphNode {
    return this.make(this.engine.native.ggml_rms_norm(this.context, a.address, epsilon), a.shape);
  }

  rmsNormBack(dy: GraphNode, x: GraphNode, epsilon: number): GraphNode {
    same('rmsNormBack', dy, x);
    const { ggml_rms_norm_back } = this.engine.native;
    return this.make(ggml_rms_norm_back(this.context, dy.address, x.address, epsilon), x.shape);
  }

  /** softmax(factor * a + mask) along the first axis; `mask` is [first axis, second axis] or nothing. */
  softmax(a: GraphNode, mask: GraphNode | null, factor = 1): GraphNode {
    if (mask !== null && (mask.shape[0] !== a.shape[0] || mask.shape[1] < a.shape[1]))
      throw mismatch('softmax', a.shape, mask.shape);
    const { ggml_soft_max_ext } = this.engine.native;
    const address = ggml_soft_max_ext(
      this.context,
      this.dense(a).address,
      mask?.address ?? null,
      factor,
      0,
    );
    return this.make(address, a.shape);
  }

  /** Gradient of `softmax`'s input from that of its output and the output itself. */
  softmaxBack(dy: GraphNode, y: GraphNode, factor = 1): GraphNode {
    same('softmaxBack', dy, y);
    const { ggml_soft_max_ext_back } = this.engine.native;
    return this.make(ggml_soft_max_ext_back(this.context, dy.address, y.address, factor, 0), y.shape);
  }

  /** `a` is [head size, heads, positions]; `factors` divide the frequencies where the model has such. */
  rope(a: GraphNode, positions: GraphNode, factors: GraphNode | null, settings: RopeSettings): GraphNode {
    const { ggml_rope_ext } = this.engine.native;
    return this.make(ggml_rope_ext(...this.ropeArguments(a, positions, factors, settings)), a.shape);
  }

  ropeBack(dy: GraphNode, positions: GraphNode, factors: GraphNode | null, settings: RopeSettings): GraphNode {
    const { ggml_rope_ext_back } = this.engine.native;
    return this.make(ggml_rope_ext_back(...this.ropeArguments(dy, positions, factors, settings)), dy.shape);
  }

  /** The same elements in another shape. */
  reshape(a: GraphNode, ...extents: readonly number[]): GraphNode {
    const shape = shapeOf(extents);
    if (count(shape) !== count(a.shape)) throw mismatch('reshape', a.shape, shape);
    const { ggml_reshape_4d } = this.engine.native;
    return this.make(ggml_reshape_4d(this.context, this.dense(a).address, ...shape), shape);
  }

  /** Elements `first` up to `first + length` of the first axis; a view. */
  slice(a: GraphNode, first: number, length: number): GraphNode {
    if (first < 0 || length < 1 || first + length > a.shape[0])
      throw mismatch('slice', `${first} + ${length}`, a.shape);
    const dense = this.dense(a);
    const [n0, n1, n2, n3] = dense.shape;
    const { ggml_view_4d } = this.engine.native;
    const strides = [n0, n0 * n1, n0 * n1 * n2].map((stride) => stride * floatBytes) as [number, number, number];
    const address = ggml_view_4d(
      this.context,
      dense.address,
      length,
      n1,
      n2,
      n3,
      ...strides,
      first * floatBytes,
    );
    return { shape: [length, n1, n2, n3], contiguous: length === n0, address };
  }

  /** `b` behind `a` along the first axis. */
  concatenate(a: GraphNode, b: GraphNode): GraphNode {
    if (a.shape.some((extent, axis) => axis > 0 && extent !== b.shape[axis]))
      throw mismatch('concatenate', a.shape, b.shape);
    const { ggml_concat } = this.engine.native;
    const address = ggml_concat(this.context, this.dense(a).address, this.dense(b).address, 0);
    return this.make(address, [a.shape[0] + b.shape[0], a.shape[1], a.shape[2], a.shape[3]]);
  }

  /** Axis k of `a` becomes axis `axes[k]`; a view. */
  permute(a: GraphNode, ...axes: readonly [number, number, number, number]): GraphNode {
    const shape: [number, number, number, number] = [0, 0, 0, 0];
    axes.forEach((to, from) => (shape[to] = a.shape[from]));
    const { ggml_permute } = this.engine.native;
    const address = ggml_permute(this.context, a.address, ...axes);
    return { shape, contiguous: axes.every((to, from) => to === from) && a.contiguous, address };
  }

  /** The first two axes exchanged, elements moved. */
  transpose(a: GraphNode): GraphNode {
    return this.dense(this.permute(a, 1, 0, 2, 3));
  }

  /** A copy whose elements lie one after the other, or the node itself where they do. */
  dense(a: GraphNode): GraphNode {
    if (a.contiguous) return a;
    return this.make(this.engine.native.ggml_cont(this.context, a.address), a.shape);
  }

  /** Bytes of everything between the leaves, once the graph has been computed or `prepare`d. */
  get workBytes(): number {
    if (this.allocator === undefined) return 0;
    return Number(this.engine.native.ggml_gallocr_get_buffer_size(this.allocator, 0));
  }

  /** Reserves the memory of everything between the leaves. @throws BitsmithError `GRAPH_MEMORY` */
  prepare(): void {
    this.lifetime.assertAlive();
    if (this.allocator !== undefined) return;
    const { native } = this.engine;
    const allocator = native.ggml_gallocr_new(native.ggml_backend_cpu_buffer_type());
    if (allocator === null || !native.ggml_gallocr_alloc_graph(allocator, this.graph)) {
      if (allocator !== null) native.ggml_gallocr_free(allocator);
      throw outOfMemory(0);
    }
    this.allocator = allocator;
    this.backend = singleThread(this.engine);
  }

  /**
   * Computes everything that `store` asks for, on another thread.
   * @throws BitsmithError `GRAPH_MEMORY`, `GRAPH_FAILED`, `GRAPH_BUSY`
   */
  async compute({ signal }: { signal?: AbortSignal } = {}): Promise<void> {
    signal?.throwIfAborted();
    this.prepare();
    if (this.computing) throw misuse('GRAPH_BUSY', 'a graph at rest', 'one that is computing', 'Await compute first.');
    const { ggml_backend_graph_compute } = this.engine.native;
    this.computing = true;
    try {
      const status = await callHolding(this.arrays, ggml_backend_graph_compute, this.backend as Address, this.graph);
      if (status !== 0)
        throw new BitsmithError(
          'engine',
          'GRAPH_FAILED',
          `expected the engine to compute the graph, but it returned ${status}`,
        );
    } finally {
      this.computing = false;
    }
    signal?.throwIfAborted();
  }

  dispose(): void {
    this.lifetime.end(() => {
      const { native } = this.engine;
      if (this.allocator !== undefined) native.ggml_gallocr_free(this.allocator);
      if (this.backend !== undefined) native.ggml_backend_free(this.backend);
      native.ggml_free(this.context);
    });
  }

  private want(node: GraphNode): void {
    if (this.allocator !== undefined)
      throw misuse('GRAPH_FIXED', 'a graph that was not computed yet', 'one that was', 'Build it whole first.');
    this.engine.native.ggml_build_forward_expand(this.graph, node.address);
  }

  private make(address: Address, shape: Shape): GraphNode {
    return { shape, contiguous: true, address };
  }

  private unary(name: 'ggml_sqr' | 'ggml_tanh' | 'ggml_silu' | 'ggml_gelu', a: GraphNode): GraphNode {
    return this.make(this.engine.native[name](this.context, this.dense(a).address), a.shape);
  }

  private pair(name: 'ggml_silu_back', a: GraphNode, b: GraphNode, shape: Shape): GraphNode {
    same(name, a, b);
    return this.make(
      this.engine.native[name](this.context, this.dense(a).address, this.dense(b).address),
      shape,
    );
  }

  private elementwise(name: 'ggml_add' | 'ggml_sub' | 'ggml_mul', a: GraphNode, b: GraphNode): GraphNode {
    if (b.shape.some((extent, axis) => a.shape[axis] % extent !== 0)) throw mismatch(name, a.shape, b.shape);
    return this.make(this.engine.native[name](this.context, a.address, b.address), a.shape);
  }

  private ropeArguments(
    a: GraphNode,
    positions: GraphNode,
    factors: GraphNode | null,
    settings: RopeSettings,
  ): RopeArguments {
    const { dimensions, mode, originalContext, base, scale } = settings;
    if (a.shape[2] !== positions.shape[0] || dimensions > a.shape[0] || dimensions % 2 !== 0)
      throw mismatch('rope', a.shape, positions.shape);
    if (factors !== null && factors.shape[0] < dimensions / 2) throw mismatch('rope', a.shape, factors.shape);
    return [
      this.context,
      a.address,
      positions.address,
      factors?.address ?? null,
      dimensions,
      mode,
      originalContext,
      base,
      scale,
      settings.extrapolation,
      settings.attention,
      settings.betaFast,
      settings.betaSlow,
    ];
  }
}

function shapeOf(extents: readonly number[]): Shape {
  const [a = 1, b = 1, c = 1, d = 1] = extents;
  return [a, b, c, d];
}

function count(shape: Shape): number {
  return shape[0] * shape[1] * shape[2] * shape[3];
}

function same(operation: string, a: GraphNode, b: GraphNode): void {
  if (a.shape.some((extent, axis) => extent !== b.shape[axis])) throw mismatch(operation, a.shape, b.shape);
}

function mismatch(operation: string, a: Shape | string, b: Shape): BitsmithError {
  const text = (shape: Shape | string): string => (typeof shape === 'string' ? shape : `[${shape.join(', ')}]`);
  return misuse('GRAPH_SHAPE', `${operation}: shapes that fit`, `${text(a)} and ${text(b)}`);
}

function outOfMemory(bytes: number): BitsmithError {
  return new BitsmithError(
    'resources',
    'GRAPH_MEMORY',
    `expected memory for a computation${bytes > 0 ? ` (${bytes} bytes)` : ''}, found none`,
    { suggestion: 'Close other programs, or measure on shorter sequences (--context).' },
  );
}

/** A backend of the processor that computes on the calling thread alone. */
function singleThread(engine: Engine): Address {
  const { native } = engine;
  const devices = Array.from({ length: Number(native.ggml_backend_dev_count()) }, (_, index) =>
    native.ggml_backend_dev_get(index),
  );
  const processor = devices.find((device) => native.ggml_backend_dev_type(device) === deviceTypes.cpu);
  const backend = processor === undefined ? null : native.ggml_backend_dev_init(processor, null);
  const setThreads =
    processor === undefined
      ? null
      : native.ggml_backend_reg_get_proc_address(
          native.ggml_backend_dev_backend_reg(processor),
          'ggml_backend_set_n_threads',
        );
  if (backend === null || setThreads === null)
    throw new BitsmithError('engine', 'ENGINE_NO_DEVICE', 'expected a CPU library to compute with, found none');
  setThreadsFunction(setThreads)(backend, 1);
  return backend;
}
