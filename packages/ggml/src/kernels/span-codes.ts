/**
 * @file The two ways in which codes of levels are chosen under a symmetric matrix: one weight after the other, each taking over what the
 * ones before it got wrong, for four rows side by side, and each by itself while all others stay, for one row. Weight j with code c is
 * base[j] + level[c] step[j]; all places are bytes, vectors padded with zeros to whole fours.
 */
import {
  f32,
  f32x4,
  i32,
  type F32,
  type I32,
  i32x4,
  type Statement,
  v128,
  type V128,
} from './instructions.js';
import { type Levels, levelParameters, type LevelKind, openLevels } from './span-levels.js';
import { give, type Local, loop, WasmFunction, when } from './wasm.js';

const LANES = [0, 1, 2, 3] as const;
/** Bytes of the blocks that rows come in. */
const BLOCK_BYTES = 64;
/** Floats of feedback that are read at once. */
const READ = 4;

/** A kernel of these places and those of levels. */
function chooser<Name extends string, Result extends 'f32' | null>(
  names: readonly Name[],
  kind: LevelKind,
  result: Result,
): { fn: WasmFunction<Result>; levels: Levels } & Record<Name, Local<'i32'>> {
  const fn = new WasmFunction([...names.map(() => 'i32' as const), ...levelParameters[kind]], result);
  const places = Object.fromEntries(names.map((name, index) => [name, fn.parameter(index, 'i32')]));
  return { fn, levels: openLevels(fn, kind, names.length), ...(places as Record<Name, Local<'i32'>>) };
}

const decideNames = [
  'order',
  'feedback',
  'strideBytes',
  'bytes',
  'pivots',
  'errors',
  'targets',
  'base',
  'step',
  'inverse',
  'codes',
  'rowBytes',
  'losses',
] as const;

/**
 * Of four rows, whose vectors lie `rowBytes` apart; but the errors of all four lie together, weight by weight, zeros at first, and so
 * do their losses.
 */
export function makeDecide(kind: LevelKind): WasmFunction<null> {
  const { fn, levels, ...at } = chooser(decideNames, kind, null);
  const { order, feedback, strideBytes, bytes, pivots, errors, rowBytes } = at;
  const [k, i, j] = LANES.map(() => fn.local('i32'));
  const sums = LANES.map(() => fn.local('v128'));
  const [target, wish, base, value, off, loss] = Array.from({ length: 6 }, () => fn.local('v128'));
  const place = fn.local('i32');
  /** The j-th number of each row. */
  const gather = (vector: I32, into: Local<'v128'>): Statement[] => [
    place.set(i32.add(vector, j)),
    into.set(v128.loadSplat32(place)),
    ...[1, 2, 3].flatMap((lane) => [
      place.set(i32.add(place, rowBytes)),
      into.set(v128.loadLane32(place, into, lane)),
    ]),
  ];
  const errorsOf = (part: number): V128 => v128.load(i32.add(errors, i32.shl(i, i32.const(2))), 16 * part);
  const [step, inverse] = [0, 1].map(() => fn.local('v128'));
  fn.add(
    k.set(i32.const(0)),
    loop(k, 4, bytes, [
      ...sums.map((sum) => sum.set(f32x4.const(0))),
      // Feedback is zero from its k-th column on, and so are errors.
      when(k, [
        i.set(i32.const(0)),
        loop(
          i,
          4 * READ,
          k,
          sums.map((sum, part) =>
            sum.set(
              f32x4.add(sum, f32x4.mul(v128.loadSplat32(i32.add(feedback, i), 4 * part), errorsOf(part))),
            ),
          ),
        ),
      ]),
      j.set(i32.load(i32.add(order, k))),
      ...gather(at.targets, target),
      ...gather(at.base, base),
      ...gather(at.step, step),
      ...gather(at.inverse, inverse),
      wish.set(f32x4.add(target, f32x4.add(f32x4.add(sums[0], sums[1]), f32x4.add(sums[2], sums[3])))),
      ...levels.four(f32x4.mul(f32x4.sub(wish, base), inverse)),
      place.set(i32.add(at.codes, j)),
      ...LANES.flatMap((lane) => [
        f32.store(place, f32x4.lane(levels.codes, lane)),
        place.set(i32.add(place, rowBytes)),
      ]),
      value.set(f32x4.add(base, f32x4.mul(levels.levels, step))),
      v128.store(i32.add(errors, i32.shl(k, i32.const(2))), f32x4.sub(target, value)),
      off.set(f32x4.sub(wish, value)),
      loss.set(f32x4.add(loss, f32x4.mul(v128.loadSplat32(i32.add(pivots, k)), f32x4.mul(off, off)))),
      feedback.set(i32.add(feedback, strideBytes)),
    ]),
    v128.store(at.losses, loss),
  );
  return fn;
}

const sweepNames = [
  'matrix',
  'strideBytes',
  'bytes',
  'values',
  'pull',
  'own',
  'inverseOwn',
  'base',
  'step',
  'inverse',
  'codes',
] as const;

/** Returns what it gained. */
export function makeSweep(kind: LevelKind): WasmFunction<'f32'> {
  const {
    fn,
    levels,
    matrix,
    strideBytes,
    bytes,
    values,
    pull,
    own,
    inverseOwn,
    base,
    step,
    inverse,
    codes,
  } = chooser(sweepNames, kind, 'f32');
  const [at, j, i] = [0, 1, 2].map(() => fn.local('i32'));
  const factors = fn.local('v128');
  const [value, change, gain, gained] = [0, 1, 2, 3].map(() => fn.local('f32'));
  const four = (vector: I32): V128 => v128.load(i32.add(vector, at));
  const one = (vector: I32): F32 => f32.load(i32.add(vector, j));

  /** Of four weights, where all others stay. */
  const wishes = f32x4.mul(
    f32x4.sub(f32x4.add(four(values), f32x4.mul(four(pull), four(inverseOwn))), four(base)),
    four(inverse),
  );
  const wish = f32.mul(
    f32.sub(f32.add(one(values), f32.mul(one(pull), one(inverseOwn))), one(base)),
    one(inverse),
  );
  const addRow = (factor: F32): Statement[] => [
    factors.set(f32x4.splat(factor)),
    i.set(i32.const(0)),
    // Rows are as long as they are apart.
    loop(
      i,
      BLOCK_BYTES,
      strideBytes,
      LANES.map((part) =>
        v128.store(
          i32.add(pull, i),
          f32x4.add(
            v128.load(i32.add(pull, i), 16 * part),
            f32x4.mul(factors, v128.load(i32.add(i32.add(matrix, rowOf(j, strideBytes)), i), 16 * part)),
          ),
          16 * part,
        ),
      ),
    ),
  ];
  const better = LANES.flatMap((lane): Statement[] => [
    j.set(i32.add(at, i32.const(4 * lane))),
    ...levels.one(wish),
    value.set(f32.add(one(base), f32.mul(levels.level, one(step)))),
    change.set(f32.sub(value, one(values))),
    gain.set(f32.mul(change, f32.sub(f32.mul(f32.const(2), one(pull)), f32.mul(change, one(own))))),
    when(i32.and(f32.ne(levels.code, one(codes)), f32.gt(gain, f32.const(0))), [
      f32.store(i32.add(codes, j), levels.code),
      f32.store(i32.add(values, j), value),
      ...addRow(f32.neg(change)),
      gained.set(f32.add(gained, gain)),
    ]),
  ]);
  fn.add(
    at.set(i32.const(0)),
    loop(at, 16, bytes, [
      ...levels.four(wishes),
      when(i32x4.bitmask(f32x4.ne(levels.codes, four(codes))), better),
    ]),
    give(gained),
  );
  return fn;
}

/** Row j of a matrix whose rows are `strideBytes` apart, in bytes from its start; `j` is in bytes of floats. */
function rowOf(j: I32, strideBytes: I32): I32 {
  return i32.mul(i32.shrU(j, i32.const(2)), strideBytes);
}
