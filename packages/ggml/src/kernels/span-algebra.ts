/**
 * @file Vectors and symmetric matrices of a few hundred floats, for solvers that change one number at a time: a row added, a product
 * of two vectors, a matrix times a vector. Everything lies in one memory, rows padded with zeros to whole strides; sums are
 * taken in a fixed order.
 */
import { f32, f32x4, i32, type Statement, v128, type V128 } from './instructions.js';
import { PAGE_BYTES } from './layout.js';
import { type WasmMemory, wasmRuntime } from './runtime.js';
import { assemble, give, type Local, loop, WasmFunction } from './wasm.js';

/** Floats that are worked on at once: lengths are multiples of it. */
export const STRIDE = 16;
const BLOCK_BYTES = 4 * STRIDE;

export interface SpanAlgebra {
  readonly memory: WasmMemory;
  /** target += factor * row; places are bytes from the memory's start, lengths are in bytes. */
  addRow(target: number, row: number, byteLength: number, factor: number): void;
  product(a: number, b: number, byteLength: number): number;
  /** target[i] = row i of the matrix, `rowBytes` of every `strideBytes`, times the vector. */
  multiply(
    matrix: number,
    vector: number,
    target: number,
    rows: number,
    rowBytes: number,
    strideBytes: number,
  ): void;
}

/** In a memory of its own, on the thread that asks. */
export async function spanAlgebra(byteLength: number): Promise<SpanAlgebra> {
  const pages = Math.ceil(byteLength / PAGE_BYTES);
  const memory = new wasmRuntime.Memory({ initial: pages, maximum: pages, shared: true });
  const made = async (fn: WasmFunction<'f32' | null>): Promise<unknown> => {
    const module = await wasmRuntime.compile(assemble([fn], pages));
    return new wasmRuntime.Instance(module, { env: { memory } }).exports['run'];
  };
  const [addRow, product, multiply] = await Promise.all([
    made(makeAddRow()),
    made(makeProduct()),
    made(makeMultiply()),
  ]);
  return { memory, addRow, product, multiply } as SpanAlgebra;
}

function makeAddRow(): WasmFunction<null> {
  const fn = new WasmFunction(['i32', 'i32', 'i32', 'f32'], null);
  const [target, row, bytes] = [0, 1, 2].map((index) => fn.parameter(index, 'i32'));
  const factor = fn.parameter(3, 'f32');
  const i = fn.local('i32');
  const factors = fn.local('v128');
  const at = (base: Local<'i32'>, part: number): V128 => v128.load(i32.add(base, i), 16 * part);
  fn.add(
    factors.set(f32x4.splat(factor)),
    i.set(i32.const(0)),
    loop(
      i,
      BLOCK_BYTES,
      bytes,
      [0, 1, 2, 3].map((part) =>
        v128.store(
          i32.add(target, i),
          f32x4.add(at(target, part), f32x4.mul(factors, at(row, part))),
          16 * part,
        ),
      ),
    ),
  );
  return fn;
}

/** Adds up a[i] b[i] in four sums of four lanes. */
function summed(
  sums: readonly Local<'v128'>[],
  i: Local<'i32'>,
  bytes: Local<'i32'>,
  [a, b]: readonly Local<'i32'>[],
): Statement[] {
  const at = (base: Local<'i32'>, part: number): V128 => v128.load(i32.add(base, i), 16 * part);
  return [
    ...sums.map((sum) => sum.set(f32x4.const(0))),
    i.set(i32.const(0)),
    loop(
      i,
      BLOCK_BYTES,
      bytes,
      sums.map((sum, part) => sum.set(f32x4.add(sum, f32x4.mul(at(a, part), at(b, part))))),
    ),
    sums[0].set(f32x4.add(f32x4.add(sums[0], sums[1]), f32x4.add(sums[2], sums[3]))),
  ];
}

function laneSum(sum: V128): ReturnType<typeof f32.add> {
  const lane = (index: number) => f32x4.lane(sum, index);
  return f32.add(f32.add(lane(0), lane(1)), f32.add(lane(2), lane(3)));
}

function makeProduct(): WasmFunction<'f32'> {
  const fn = new WasmFunction(['i32', 'i32', 'i32'], 'f32');
  const [a, b, bytes] = [0, 1, 2].map((index) => fn.parameter(index, 'i32'));
  const i = fn.local('i32');
  const sums = [0, 1, 2, 3].map(() => fn.local('v128'));
  fn.add(...summed(sums, i, bytes, [a, b]), give(laneSum(sums[0])));
  return fn;
}

function makeMultiply(): WasmFunction<null> {
  const fn = new WasmFunction(['i32', 'i32', 'i32', 'i32', 'i32', 'i32'], null);
  const [matrix, vector, target, rows, bytes, stride] = [0, 1, 2, 3, 4, 5].map((index) =>
    fn.parameter(index, 'i32'),
  );
  const [row, i] = [0, 1].map(() => fn.local('i32'));
  const sums = [0, 1, 2, 3].map(() => fn.local('v128'));
  fn.add(
    row.set(i32.const(0)),
    loop(row, 1, rows, [
      ...summed(sums, i, bytes, [matrix, vector]),
      f32.store(target, laneSum(sums[0])),
      matrix.set(i32.add(matrix, stride)),
      target.set(i32.add(target, i32.const(4))),
    ]),
  );
  return fn;
}
