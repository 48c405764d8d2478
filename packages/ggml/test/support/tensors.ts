/** @file Values of four axes in plain JavaScript, row length first, computed in double precision: what graphs are held against. */
import type { ComputeGraph, GraphNode, Shape } from '../../src/index.js';
import { uniform } from './random.js';

export interface Tensor {
  readonly shape: Shape;
  readonly values: Float64Array;
}

export type Index = readonly [number, number, number, number];

export function elements(shape: Shape): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** Fills a tensor place by place. */
export function fill(shape: Shape, value: (at: Index, place: number) => number): Tensor {
  const values = new Float64Array(elements(shape));
  let place = 0;
  for (let d = 0; d < shape[3]; d++)
    for (let c = 0; c < shape[2]; c++)
      for (let b = 0; b < shape[1]; b++)
        for (let a = 0; a < shape[0]; a++, place++) values[place] = value([a, b, c, d], place);
  return { shape, values };
}

/** Uniform in +-spread, as float32 numbers. */
export function randomTensor(shape: Shape, seed: number, spread = 2): Tensor {
  const next = uniform(seed);
  for (let i = 0; i < 3; i++) next();
  return fill(shape, () => Math.fround((2 * next() - 1) * spread));
}

/** The element at an index; along axes where the tensor is shorter it repeats. */
export function at({ shape, values }: Tensor, index: Index): number {
  const [a, b, c, d] = index.map((place, axis) => place % shape[axis]);
  return values[a + shape[0] * (b + shape[1] * (c + shape[2] * d))];
}

export function map(a: Tensor, change: (value: number) => number): Tensor {
  return fill(a.shape, (_, place) => change(a.values[place]));
}

/** Elementwise over `a`, `b` repeated where it is shorter. */
export function zip(a: Tensor, b: Tensor, join: (left: number, right: number) => number): Tensor {
  return fill(a.shape, (index, place) => join(a.values[place], at(b, index)));
}

export function matrixProduct(a: Tensor, b: Tensor): Tensor {
  const [k, m, c, d] = a.shape;
  const [, n, c2, d2] = b.shape;
  return fill([m, n, c2, d2], ([row, column, i2, i3]) => {
    let sum = 0;
    const [j2, j3] = [Math.floor(i2 / (c2 / c)), Math.floor(i3 / (d2 / d))];
    for (let i = 0; i < k; i++) sum += at(a, [i, row, j2, j3]) * at(b, [i, column, i2, i3]);
    return sum;
  });
}

/** Computes each row of the first axis from that of `a`. */
export function eachRow(a: Tensor, row: (values: Float64Array, at: Index) => ArrayLike<number>): Tensor {
  const [length] = a.shape;
  let known: ArrayLike<number> = [];
  return fill(a.shape, (index, place) => {
    if (index[0] === 0) known = row(a.values.subarray(place, place + length), index);
    return known[index[0]];
  });
}

/** How a value comes into the graph: as it lies, as a view with its axes exchanged, or as a part of longer rows. */
export const layouts = ['plain', 'permuted', 'sliced'] as const;
export type Layout = (typeof layouts)[number];

const inverse = { from: [1, 2, 0, 3], to: [2, 0, 1, 3] } as const;

/** A node of these values in a given layout. */
export function nodeOf(graph: ComputeGraph, tensor: Tensor, layout: Layout = 'plain'): GraphNode {
  const { shape } = tensor;
  if (layout === 'plain') return graph.leaf(Float32Array.from(tensor.values), ...shape);
  if (layout === 'sliced') {
    const long = fill([shape[0] + 3, shape[1], shape[2], shape[3]], ([a, ...rest]) =>
      a === 0 || a > shape[0] ? 99 : at(tensor, [a - 1, ...rest]),
    );
    return graph.slice(graph.leaf(Float32Array.from(long.values), ...long.shape), 1, shape[0]);
  }
  const stored: [number, number, number, number] = [1, 1, 1, 1];
  inverse.from.forEach((axis, place) => (stored[axis] = shape[place]));
  const moved = fill(stored, (index) =>
    at(tensor, inverse.from.map((axis) => index[axis]) as unknown as Index),
  );
  return graph.permute(graph.leaf(Float32Array.from(moved.values), ...moved.shape), ...inverse.to);
}

/** Largest difference against the largest magnitude; NaN when shapes or finiteness differ. */
export function relativeDifference(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (found.length !== expected.length) return NaN;
  let worst = 0;
  let scale = 0;
  for (let i = 0; i < found.length; i++) {
    const difference = Math.abs(found[i] - expected[i]);
    if (Number.isNaN(difference)) return NaN;
    worst = Math.max(worst, difference);
    scale = Math.max(scale, Math.abs(expected[i]));
  }
  return worst === 0 ? 0 : worst / scale;
}
