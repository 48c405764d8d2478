/**
 * @file What a graph of operations is to ggml: a context that its nodes live in, the typed arrays at its ends, the memory between them,
 * and the thread that computes it. Every native node is made by `create`, after what could end the process has been ruled out.
 */
import { BitsmithError } from '@bitsmith/formats';
import { callHolding } from '../binding/async.js';
import { setThreadsFunction } from '../binding/graph.js';
import { deviceTypes, ggmlTypes, tensorLayout } from '../binding/layout.js';
import type { NativeFunctions } from '../binding/libraries.js';
import { addressOf, writePointer } from '../binding/memory.js';
import type { Address } from '../binding/structs.js';
import type { Engine } from './engine.js';
import { elementsOf, type GraphNode, mismatch, type Shape, shapeOf } from './graph-shapes.js';
import { Lifetime } from './lifetime.js';
import { assertCount, misuse } from './validate.js';

type Build = (native: NativeFunctions, context: Address) => Address;

export abstract class GraphMemory {
  private readonly engine: Engine;
  private readonly context: Address;
  private readonly graph: Address;
  private readonly capacity: number;
  private readonly lifetime = new Lifetime('graph');
  private readonly arrays: ArrayBufferView[] = [];
  private readonly nodes = new WeakSet<GraphNode>();
  private tensors = 0;
  private allocator: Address | undefined;
  private backend: Address | undefined;
  private computing = false;

  /** @param capacity most nodes that the graph will have, leaves and copies included */
  constructor(engine: Engine, capacity = 4096) {
    assertCount('capacity', capacity, 1, 1 << 20);
    const { native } = engine;
    const overhead = Number(native.ggml_tensor_overhead()) * capacity;
    const size = overhead + Number(native.ggml_graph_overhead_custom(capacity, false)) + 4096;
    const context = native.ggml_init({ mem_size: size, mem_buffer: null, no_alloc: true });
    if (context === null) throw outOfMemory(size);
    this.engine = engine;
    this.context = context;
    this.capacity = capacity;
    this.graph = native.ggml_new_graph_custom(context, capacity, false);
  }

  /** A value that lives in `array`, read (or written by `store`) in place at every computation. */
  leaf(array: Float32Array | Int32Array, ...extents: readonly number[]): GraphNode {
    const shape = shapeOf('leaf', extents);
    const type = typeOfArray(array);
    if (elementsOf(shape) !== array.length) throw mismatch('leaf', `${array.length} elements`, shape);
    const node = this.create({ shape, type }, [], ({ ggml_new_tensor_4d }, context) =>
      ggml_new_tensor_4d(context, ggmlTypes[type], ...shape),
    );
    writePointer(node.address + BigInt(tensorLayout.data), addressOf(array));
    this.arrays.push(array);
    return node;
  }

  /** Computes `node` whenever the graph is computed, and puts it into `array`. */
  store(node: GraphNode, array: Float32Array): void {
    if (this.allocator !== undefined)
      throw misuse(
        'GRAPH_FIXED',
        'a graph that was not computed yet',
        'one that was',
        'Build it whole first.',
      );
    if (typeOfArray(array) !== 'F32')
      throw misuse('GRAPH_ARGUMENT', 'a Float32Array to store in', 'integers');
    const target = this.leaf(array, ...node.shape);
    const copy = this.create({ shape: node.shape }, [node, target], ({ ggml_cpy }, context) =>
      ggml_cpy(context, node.address, target.address),
    );
    this.engine.native.ggml_build_forward_expand(this.graph, copy.address);
  }

  /** Bytes of everything between the leaves, once the graph has been computed or `prepare`d. */
  get workBytes(): number {
    this.lifetime.assertAlive();
    if (this.allocator === undefined) return 0;
    return Number(this.engine.native.ggml_gallocr_get_buffer_size(this.allocator, 0));
  }

  /** Reserves the memory of everything between the leaves. @throws BitsmithError `GRAPH_MEMORY` */
  prepare(): void {
    this.lifetime.assertAlive();
    if (this.allocator !== undefined) return;
    this.backend ??= singleThread(this.engine);
    const { native } = this.engine;
    const allocator = native.ggml_gallocr_new(native.ggml_backend_cpu_buffer_type());
    if (allocator === null || !native.ggml_gallocr_alloc_graph(allocator, this.graph)) {
      if (allocator !== null) native.ggml_gallocr_free(allocator);
      throw outOfMemory(0);
    }
    this.allocator = allocator;
  }

  /**
   * Computes everything that `store` asks for, on another thread.
   * @throws BitsmithError `GRAPH_MEMORY`, `GRAPH_FAILED`, `GRAPH_BUSY`
   */
  async compute({ signal }: { signal?: AbortSignal } = {}): Promise<void> {
    signal?.throwIfAborted();
    this.prepare();
    this.assertIdle();
    const { ggml_backend_graph_compute } = this.engine.native;
    this.computing = true;
    try {
      const status = await callHolding(
        this.arrays,
        ggml_backend_graph_compute,
        this.backend as Address,
        this.graph,
      );
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

  /** @throws BitsmithError `GRAPH_BUSY` */
  dispose(): void {
    if (!this.lifetime.isAlive) return;
    this.assertIdle();
    this.lifetime.end(() => {
      const { native } = this.engine;
      if (this.allocator !== undefined) native.ggml_gallocr_free(this.allocator);
      if (this.backend !== undefined) native.ggml_backend_free(this.backend);
      native.ggml_free(this.context);
    });
  }

  private assertIdle(): void {
    if (this.computing)
      throw misuse('GRAPH_BUSY', 'a graph at rest', 'one that is computing', 'Await compute first.');
  }

  /** Every native tensor is made here, after what could end the process has been ruled out. */
  protected create(
    layout: { shape: Shape } & Partial<Omit<GraphNode, 'address'>>,
    inputs: readonly GraphNode[],
    build: Build,
  ): GraphNode {
    this.lifetime.assertAlive();
    for (const input of inputs) this.assertFloats(input);
    if (this.tensors >= this.capacity)
      throw misuse('GRAPH_CAPACITY', `at most ${this.capacity} nodes in this graph`, 'one more');
    this.tensors++;
    const address = build(this.engine.native, this.context);
    const node: GraphNode = { type: 'F32', contiguous: true, rows: true, ...layout, address };
    this.nodes.add(node);
    return node;
  }

  protected assertOwn(node: GraphNode): void {
    if (!this.nodes.has(node)) throw misuse('GRAPH_NODE', 'a value of this graph', 'one of another');
  }

  private assertFloats(node: GraphNode): void {
    this.assertOwn(node);
    if (node.type !== 'F32') throw misuse('GRAPH_NODE', 'a value of floats', 'integers');
  }

  protected copy(a: GraphNode): GraphNode {
    return this.create({ shape: a.shape }, [a], ({ ggml_cont }, context) => ggml_cont(context, a.address));
  }

  /** The node itself, or a copy where the elements of its rows are scattered. */
  protected withRows(a: GraphNode): GraphNode {
    return a.rows ? a : this.copy(a);
  }
}

function typeOfArray(array: unknown): GraphNode['type'] {
  if (array instanceof Float32Array) return 'F32';
  if (array instanceof Int32Array) return 'I32';
  throw misuse('GRAPH_ARGUMENT', 'a Float32Array or an Int32Array', String(array?.constructor?.name));
}

function outOfMemory(bytes: number): BitsmithError {
  return new BitsmithError(
    'resources',
    'GRAPH_MEMORY',
    `expected memory for a computation${bytes > 0 ? ` (${bytes} bytes)` : ''}, found none`,
    { suggestion: 'Close other programs, or measure on shorter sequences (--chunk).' },
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
    throw new BitsmithError(
      'engine',
      'ENGINE_NO_DEVICE',
      'expected a CPU library to compute with, found none',
    );
  setThreadsFunction(setThreads)(backend, 1);
  return backend;
}
