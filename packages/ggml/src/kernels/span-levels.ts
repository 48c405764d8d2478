/**
 * @file How what a weight should be, in steps from its base, becomes a code and the level that the code stands for: by rounding where
 * levels are whole numbers from zero on, else by a list of what lies in the middle between neighbours.
 */
import { f32, f32x4, type F32, i32, type Statement, v128, type V128 } from './instructions.js';
import { type Local, loop, type WasmFunction } from './wasm.js';
import type { ValueType } from './instructions.js';

/** Levels that are whole numbers from zero on; or any, in ascending order. */
export type LevelKind = 'even' | 'listed';

/** What kernels are told of levels: the highest; or where the list is, and its bytes. */
export const levelParameters: Readonly<Record<LevelKind, readonly ValueType[]>> = {
  even: ['f32'],
  listed: ['i32', 'i32'],
};

export interface Levels {
  /** Sets `codes` and `levels`. */
  four(wishes: V128): Statement[];
  readonly codes: V128;
  readonly levels: V128;
  /** Sets `code` and `level`. */
  one(wish: F32): Statement[];
  readonly code: F32;
  readonly level: F32;
}

/** Added and taken off, it leaves the nearest whole number of up to 22 bits. */
const ROUNDING = 1.5 * 2 ** 23;
/** Bytes of a level's place in a list: what is in the middle to the one below, and how far that is. */
const STEP_BYTES = 8;

/** A list as kernels read it: the lowest level twice, then of each next one the middle and the distance. */
export function levelList(levels: ArrayLike<number>): Float32Array {
  const list = new Float32Array(2 * levels.length).fill(levels[0], 0, 2);
  for (let code = 1; code < levels.length; code++) {
    list[2 * code] = (levels[code - 1] + levels[code]) / 2;
    list[2 * code + 1] = levels[code] - levels[code - 1];
  }
  return list;
}

/** @param first of the kernel's parameters that tell of levels */
export function openLevels(fn: WasmFunction<ValueType | null>, kind: LevelKind, first: number): Levels {
  return kind === 'even' ? evenLevels(fn, first) : listedLevels(fn, first);
}

function evenLevels(fn: WasmFunction<ValueType | null>, first: number): Levels {
  const top = fn.parameter(first, 'f32');
  const codes = fn.local('v128');
  const code = fn.local('f32');
  const [zero, rounding] = [f32x4.const(0), f32x4.const(ROUNDING)];
  const bounded = (wishes: V128): V128 => f32x4.pmin(f32x4.pmax(wishes, zero), f32x4.splat(top));
  const boundedOne = (wish: F32): F32 => f32.min(f32.max(wish, f32.const(0)), top);
  return {
    four: (wishes) => [codes.set(f32x4.sub(f32x4.add(bounded(wishes), rounding), rounding))],
    codes,
    levels: codes,
    one: (wish) => [code.set(f32.sub(f32.add(boundedOne(wish), f32.const(ROUNDING)), f32.const(ROUNDING)))],
    code,
    level: code,
  };
}

function listedLevels(fn: WasmFunction<ValueType | null>, first: number): Levels {
  const [list, listBytes] = [0, 1].map((index) => fn.parameter(first + index, 'i32'));
  const place = fn.local('i32');
  const [wishes, codes, levels, above] = [0, 1, 2, 3].map(() => fn.local('v128'));
  const [wish, code, level] = [0, 1, 2].map(() => fn.local('f32'));
  const over = (
    counter: Local<'i32'>,
    body: (at: ReturnType<typeof i32.add>) => Statement[],
  ): Statement[] => [
    counter.set(i32.const(STEP_BYTES)),
    loop(counter, STEP_BYTES, listBytes, body(i32.add(list, counter))),
  ];
  const isAbove = fn.local('f32');
  return {
    four: (wanted) => [
      wishes.set(wanted),
      codes.set(f32x4.const(0)),
      levels.set(v128.loadSplat32(list)),
      ...over(place, (at) => [
        above.set(f32x4.gt(wishes, v128.loadSplat32(at))),
        codes.set(f32x4.add(codes, v128.and(above, f32x4.const(1)))),
        levels.set(f32x4.add(levels, v128.and(above, v128.loadSplat32(at, 4)))),
      ]),
    ],
    codes,
    levels,
    one: (wanted) => [
      wish.set(wanted),
      code.set(f32.const(0)),
      level.set(f32.load(list)),
      ...over(place, (at) => [
        isAbove.set(f32.fromI32(f32.gt(wish, f32.load(at)))),
        code.set(f32.add(code, isAbove)),
        level.set(f32.add(level, f32.mul(isAbove, f32.load(at, 4)))),
      ]),
    ],
    code,
    level,
  };
}
