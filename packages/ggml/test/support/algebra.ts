/**
 * @file Computations that are written once and run twice: on a tape, and in plain JavaScript in double precision, whose finite
 * differences are exact to nine digits.
 */
import {
  ComputeGraph,
  type Engine,
  type GraphNode,
  type RopeSettings,
  type Shape,
  Tape,
} from '../../src/index.js';
import * as plain from './operations.js';
import { at, fill, type Index, map, matrixProduct, nodeOf, type Tensor, zip } from './tensors.js';

export interface Algebra<Value> {
  linear(weight: Tensor, x: Value): Value;
  matrixProduct(a: Value, b: Value): Value;
  add(a: Value, b: Value): Value;
  addConstant(a: Value, constant: Tensor): Value;
  timesConstant(a: Value, constant: Tensor): Value;
  times(a: Value, b: Value): Value;
  scale(a: Value, factor: number): Value;
  rmsNorm(a: Value, epsilon: number): Value;
  silu(a: Value): Value;
  gelu(a: Value): Value;
  softCap(a: Value, limit: number): Value;
  softmax(a: Value, mask: Tensor | null, factor: number): Value;
  rope(
    a: Value,
    positions: readonly number[],
    factors: readonly number[] | null,
    settings: RopeSettings,
  ): Value;
  reshape(a: Value, ...extents: readonly number[]): Value;
  swap(a: Value, ...axes: Index): Value;
  split(a: Value, lengths: readonly number[]): Value[];
}

/** Something to differentiate: a value from a value. */
export type Program = <Value>(algebra: Algebra<Value>, x: Value) => Value;

export const plainAlgebra: Algebra<Tensor> = {
  linear: (weight, x) => matrixProduct(weight, x),
  matrixProduct,
  add: (a, b) => zip(a, b, (x, y) => x + y),
  addConstant: (a, constant) => zip(a, constant, (x, y) => x + y),
  timesConstant: plain.product,
  times: plain.product,
  scale: plain.scaled,
  rmsNorm: plain.rmsNorm,
  silu: (a) => map(a, plain.silu),
  gelu: (a) => map(a, plain.gelu),
  softCap: (a, limit) => map(a, (x) => limit * Math.tanh(x / limit)),
  softmax: plain.softmax,
  rope: plain.rope,
  reshape: (a, ...extents) => ({
    shape: [0, 1, 2, 3].map((axis) => extents[axis] ?? 1) as unknown as Shape,
    values: a.values,
  }),
  swap: (a, ...axes) =>
    fill(axes.map((axis) => a.shape[axis]) as unknown as Shape, (index) =>
      at(a, axes.map((axis) => index[axis]) as unknown as Index),
    ),
  split: (a, lengths) => {
    const [, b, c, d] = a.shape;
    return lengths.map((length, part) => {
      const first = lengths.slice(0, part).reduce((sum, other) => sum + other, 0);
      return fill([length, b, c, d], ([i, ...rest]) => at(a, [first + i, ...rest]));
    });
  },
};

/** The tape's own methods, with constants as leaves of its graph. */
function tapeAlgebra(tape: Tape): Algebra<GraphNode> {
  const leaf = (tensor: Tensor): GraphNode => nodeOf(tape.graph, tensor);
  return {
    linear: (weight, x) => {
      const transposed = leaf(plainAlgebra.swap(weight, 1, 0, 2, 3));
      return tape.linear({ name: 'weight', forward: leaf(weight), transposed }, x);
    },
    matrixProduct: (a, b) => tape.matrixProduct(a, b),
    add: (a, b) => tape.add(a, b),
    addConstant: (a, constant) => tape.addConstant(a, leaf(constant)),
    timesConstant: (a, constant) => tape.timesConstant(a, leaf(constant)),
    times: (a, b) => tape.times(a, b),
    scale: (a, factor) => tape.scale(a, factor),
    rmsNorm: (a, epsilon) => tape.rmsNorm(a, epsilon),
    silu: (a) => tape.silu(a),
    gelu: (a) => tape.gelu(a),
    softCap: (a, limit) => tape.softCap(a, limit),
    softmax: (a, mask, factor) => tape.softmax(a, mask === null ? null : leaf(mask), factor),
    rope: (a, positions, factors, settings) => {
      const divisors = factors === null ? null : tape.graph.leaf(Float32Array.from(factors), factors.length);
      return tape.rope(a, tape.graph.leaf(Int32Array.from(positions), positions.length), divisors, settings);
    },
    reshape: (a, ...extents) => tape.reshape(a, ...extents),
    swap: (a, ...axes) => tape.swap(a, ...axes),
    split: (a, lengths) => tape.split(a, lengths),
  };
}

export interface Differentiated {
  readonly output: Float32Array;
  readonly gradient: Float32Array;
}

/** Output and input gradient of `program` by a tape; `upper` is the gradient of the output. */
export async function differentiate(
  engine: Engine,
  program: Program,
  x: Tensor,
  upper: (shape: Shape) => Tensor,
): Promise<Differentiated> {
  const graph = new ComputeGraph(engine, 1024);
  const tape = new Tape(graph);
  const input = nodeOf(graph, x);
  const y = program(tapeAlgebra(tape), input);
  const dy = upper(y.shape);
  const output = new Float32Array(dy.values.length);
  const gradient = new Float32Array(x.values.length);
  graph.store(y, output);
  graph.store(tape.backward(y, nodeOf(graph, dy), input), gradient);
  await graph.compute();
  graph.dispose();
  return { output, gradient };
}

/** d <upper, program(x)> / dx by central differences in double precision. */
export function finiteDifferences(
  program: (x: Tensor) => Tensor,
  x: Tensor,
  upper: Tensor,
  step = 1e-5,
): Float64Array {
  const loss = (values: Float64Array): number =>
    program({ shape: x.shape, values }).values.reduce((sum, value, i) => sum + value * upper.values[i], 0);
  return x.values.map((value, i) => {
    const moved = (by: number): number => loss(x.values.with(i, value + by));
    return (moved(step) - moved(-step)) / (2 * step);
  });
}
