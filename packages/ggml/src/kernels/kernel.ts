/** @file What a kernel is, and the loop over rows and blocks that all of them share. */
import type { GridName } from './grids.js';
import { SUPER_BLOCK } from './layout.js';
import { f32, i32, type I32, type Statement, type ValueType } from './instructions.js';
import { call, type Local, loop, WasmFunction } from './wasm.js';

/** A kernel's code and the constants in its scratch memory. */
export interface Kernel {
  /** The last is the entry: `run(values, importance, target, rows, blocksPerRow)`; the first three are addresses. */
  readonly functions: readonly WasmFunction<ValueType | null>[];
  readonly constants: readonly { readonly address: number; readonly values: Float32Array }[];
  /** The grid whose tables have to stand in memory; none for most. */
  readonly grid?: GridName;
  /** Weights of a block. */
  readonly blockSize: number;
}

export interface Block {
  readonly encode: WasmFunction<null>;
  /** Weights of a block. */
  readonly size: number;
  readonly bytes: number;
}

/**
 * The entry: `block.encode(values, importance, target)` for every block. Rows share their importance.
 * @param helpers what `block` calls
 */
export function overRows(
  helpers: readonly WasmFunction<ValueType | null>[],
  block: Block,
): readonly WasmFunction<ValueType | null>[] {
  const entry = new WasmFunction(['i32', 'i32', 'i32', 'i32', 'i32'], null);
  const [values, importance, target, rows, blocks] = [0, 1, 2, 3, 4].map((index) =>
    entry.parameter(index, 'i32'),
  );
  const [row, column] = [0, 1].map(() => entry.local('i32'));
  const valueBytes = 4 * block.size;
  entry.add(
    row.set(i32.const(0)),
    loop(row, 1, rows, [
      column.set(i32.const(0)),
      loop(column, 1, blocks, [
        call(block.encode, values, i32.add(importance, i32.mul(column, i32.const(valueBytes))), target),
        values.set(i32.add(values, i32.const(valueBytes))),
        target.set(i32.add(target, i32.const(block.bytes))),
      ]),
    ]),
  );
  return [...helpers, block.encode, entry];
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
