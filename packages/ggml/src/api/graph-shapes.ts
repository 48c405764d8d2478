/**
 * @file Which operands fit which operation of a graph. ggml checks the same by assertions that end the process, when a graph is
 * built or, worse, when it is computed; so nothing that could fail one reaches it.
 */
import type { BitsmithError } from '@bitsmith/formats';
import type { Address } from '../binding/structs.js';
import { misuse } from './validate.js';

export type Shape = readonly [number, number, number, number];

/** A value of a graph: a typed array given to it, or the result of an operation. */
export interface GraphNode {
  readonly shape: Shape;
  /** Integers are positions, and enter nothing else. */
  readonly type: 'F32' | 'I32';
  /** False for views whose elements do not lie one after the other. */
  readonly contiguous: boolean;
  /** Whether the elements of each row lie one after the other. */
  readonly rows: boolean;
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

/** Most elements of a value: ggml counts some of them in 32 bits. */
const MAX_EXTENT = 2 ** 31 - 1;

/** Up to four extents, whole numbers from 1. @throws BitsmithError `GRAPH_SHAPE` */
export function shapeOf(operation: string, extents: readonly number[]): Shape {
  const fits = (extent: number): boolean => Number.isInteger(extent) && extent >= 1 && extent <= MAX_EXTENT;
  if (extents.length < 1 || extents.length > 4 || !extents.every(fits))
    throw misuse('GRAPH_SHAPE', `${operation}: one to four extents of 1 or more`, `[${extents.join(', ')}]`);
  const [a, b = 1, c = 1, d = 1] = extents;
  return [a, b, c, d];
}

export function elementsOf(shape: Shape): number {
  return shape[0] * shape[1] * shape[2] * shape[3];
}

function equalShapes(a: Shape, b: Shape): boolean {
  return a.every((extent, axis) => extent === b[axis]);
}

export function mismatch(operation: string, a: Shape | string, b: Shape | string): BitsmithError {
  const text = (shape: Shape | string): string =>
    typeof shape === 'string' ? shape : `[${shape.join(', ')}]`;
  return misuse('GRAPH_SHAPE', `${operation}: shapes that fit`, `${text(a)} and ${text(b)}`);
}

/** @throws BitsmithError `GRAPH_SHAPE` */
export function assertSame(operation: string, a: GraphNode, b: GraphNode): void {
  if (!equalShapes(a.shape, b.shape)) throw mismatch(operation, a.shape, b.shape);
}

/** Refuses a value whose extents are no whole number of times in the other's. @throws BitsmithError `GRAPH_SHAPE` */
export function assertRepeats(operation: string, part: Shape, whole: Shape): void {
  if (part.some((extent, axis) => whole[axis] % extent !== 0)) throw mismatch(operation, whole, part);
}

/** @throws BitsmithError `GRAPH_SHAPE` */
export function assertMask(a: Shape, mask: Shape): void {
  const fits = mask[0] === a[0] && mask[1] >= a[1] && a[2] % mask[2] === 0 && a[3] % mask[3] === 0;
  if (!fits) throw mismatch('softmax', a, mask);
}

/** @throws BitsmithError `GRAPH_SHAPE`, `GRAPH_ARGUMENT` */
export function assertRope(
  a: Shape,
  positions: GraphNode,
  factors: GraphNode | null,
  { dimensions, mode, originalContext, ...numbers }: RopeSettings,
): void {
  if (!equalShapes(positions.shape, [a[2], 1, 1, 1])) throw mismatch('rope', a, positions.shape);
  if (!Number.isInteger(dimensions) || dimensions < 2 || dimensions > a[0] || dimensions % 2 !== 0)
    throw mismatch('rope', `${dimensions} dimensions`, a);
  // Factors are read for the whole head, even where only a part of it turns.
  if (factors !== null && factors.shape[0] < Math.ceil(a[0] / 2)) throw mismatch('rope', a, factors.shape);
  if (mode !== 0 && mode !== 2) throw misuse('GRAPH_ARGUMENT', 'rope: mode 0 or 2', String(mode));
  const context = Number.isInteger(originalContext) && originalContext >= 0 && originalContext <= MAX_EXTENT;
  if (!context || !Object.values(numbers).every(Number.isFinite))
    throw misuse(
      'GRAPH_ARGUMENT',
      'rope: settings that are finite',
      JSON.stringify({ originalContext, ...numbers }),
    );
}

/** @throws BitsmithError `GRAPH_ARGUMENT` */
export function assertEpsilon(epsilon: number): void {
  if (epsilon >= 0 && Number.isFinite(epsilon)) return;
  throw misuse('GRAPH_ARGUMENT', 'an epsilon of 0 or more', String(epsilon));
}

/** @throws BitsmithError `GRAPH_SHAPE` */
export function assertPermutation(axes: readonly number[]): void {
  const fits = axes.length === 4 && [0, 1, 2, 3].every((axis) => axes.includes(axis));
  if (!fits) throw misuse('GRAPH_SHAPE', 'permute: the axes 0 to 3 in some order', `[${axes.join(', ')}]`);
}
