/** @file What a kernel is, and the loop over rows and super-blocks that all of them share. */
import { SUPER_BLOCK } from './layout.js';
import {
  call,
  f32,
  i32,
  type I32,
  type Local,
  loop,
  type Statement,
  type ValueType,
  WasmFunction,
} from './wasm.js';

/** A kernel's code and the constants in its scratch memory. */
export interface Kernel {
  /** The last is the entry: `encode(values, importance, target, rows, blocksPerRow)`; the first three are addresses. */
  readonly functions: readonly WasmFunction<ValueType | null>[];
  readonly constants: readonly { readonly address: number; readonly values: Float32Array }[];
}

/**
 * The entry: `block(values, importance, target)` for every super-block. Rows share their importance.
 * @param helpers what `block` calls, numbered in this order
 */
export function overRows(
  helpers: readonly WasmFunction<ValueType | null>[],
  block: WasmFunction<null>,
  blockBytes: number,
): readonly WasmFunction<ValueType | null>[] {
  const entry = new WasmFunction(['i32', 'i32', 'i32', 'i32', 'i32'], null);
  const [values, importance, target, rows, blocks] = [0, 1, 2, 3, 4].map((index) =>
    entry.parameter(index, 'i32'),
  );
  const [row, column] = [0, 1].map(() => entry.local('i32'));
  const bytes = 4 * SUPER_BLOCK;
  entry.add(
    row.set(i32.const(0)),
    loop(row, 1, rows, [
      column.set(i32.const(0)),
      loop(column, 1, blocks, [
        call(block, values, i32.add(importance, i32.mul(column, i32.const(bytes))), target),
        values.set(i32.add(values, i32.const(bytes))),
        target.set(i32.add(target, i32.const(blockBytes))),
      ]),
    ]),
  );
  const functions = [...helpers, block, entry];
  return functions;
}

/** The sum of a super-block's squares, added up in order. */
export function sumOfSquares(x: I32, i: Local<'i32'>, sum: Local<'f32'>): Statement[] {
  const value = f32.load(i32.add(x, i));
  return [
    sum.set(f32.const(0)),
    i.set(i32.const(0)),
    loop(i, 4, i32.const(4 * SUPER_BLOCK), [sum.set(f32.add(sum, f32.mul(value, value)))]),
  ];
}
