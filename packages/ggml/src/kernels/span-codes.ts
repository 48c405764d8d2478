/**
 * @file The two ways in which codes of evenly spaced levels are chosen under a symmetric matrix: one weight after the other, each taking
 * over what the ones before it got wrong, and each by itself while all others stay. Weight j with code c is base[j] + c step[j];
 * all places are bytes, vectors padded with zeros to whole fours.
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
import { give, type Local, loop, WasmFunction, when } from './wasm.js';

/** Added and taken off, it leaves the nearest whole number of up to 22 bits. */
const ROUNDING = 1.5 * 2 ** 23;
const LANES = [0, 1, 2, 3] as const;
/** Bytes of the blocks that products and rows come in. */
const BLOCK_BYTES = 64;

/** What both choosers are told of levels. */
const LEVELS = ['base', 'step', 'inverse', 'codes'] as const;

/** A kernel of these places, those of levels, and the highest code; it returns a loss or a gain. */
function chooser<Name extends string>(names: readonly Name[]) {
  const all = [...names, ...LEVELS];
  const fn = new WasmFunction([...all.map(() => 'i32' as const), 'f32'], 'f32');
  const places = Object.fromEntries(all.map((name, index) => [name, fn.parameter(index, 'i32')]));
  const top = fn.parameter(all.length, 'f32');
  return { fn, top, ...(places as Record<Name | (typeof LEVELS)[number], Local<'i32'>>) };
}

function nearestCode(wish: F32, base: F32, inverse: F32, top: F32): F32 {
  const code = f32.mul(f32.sub(wish, base), inverse);
  const bounded = f32.min(f32.max(code, f32.const(0)), top);
  return f32.sub(f32.add(bounded, f32.const(ROUNDING)), f32.const(ROUNDING));
}

/** (order, feedback, strideBytes, bytes, pivots, targets, errors, base, step, inverse, codes, top) -> loss */
export function makeDecide(): WasmFunction<'f32'> {
  const {
    fn,
    order,
    feedback,
    strideBytes,
    bytes,
    pivots,
    targets,
    errors,
    base,
    step,
    inverse,
    codes,
    top,
  } = chooser(['order', 'feedback', 'strideBytes', 'bytes', 'pivots', 'targets', 'errors']);
  const [k, i, before, j] = [0, 1, 2, 3].map(() => fn.local('i32'));
  const sums = LANES.map(() => fn.local('v128'));
  const [taken, wish, target, code, value, off, loss] = Array.from({ length: 7 }, () => fn.local('f32'));
  const at = (vector: I32): F32 => f32.load(i32.add(vector, j));
  const block = (vector: I32, part: number): V128 => v128.load(i32.add(vector, i), 16 * part);
  const lane = (index: number): F32 => f32x4.lane(sums[0], index);
  fn.add(
    k.set(i32.const(0)),
    loop(k, 4, bytes, [
      before.set(i32.and(i32.add(k, i32.const(BLOCK_BYTES - 1)), i32.const(-BLOCK_BYTES))),
      taken.set(f32.const(0)),
      when(before, [
        ...sums.map((sum) => sum.set(f32x4.const(0))),
        i.set(i32.const(0)),
        loop(
          i,
          BLOCK_BYTES,
          before,
          sums.map((sum, part) =>
            sum.set(f32x4.add(sum, f32x4.mul(block(feedback, part), block(errors, part)))),
          ),
        ),
        sums[0].set(f32x4.add(f32x4.add(sums[0], sums[1]), f32x4.add(sums[2], sums[3]))),
        taken.set(f32.add(f32.add(lane(0), lane(1)), f32.add(lane(2), lane(3)))),
      ]),
      j.set(i32.load(i32.add(order, k))),
      target.set(at(targets)),
      wish.set(f32.add(target, taken)),
      code.set(nearestCode(wish, at(base), at(inverse), top)),
      f32.store(i32.add(codes, j), code),
      value.set(f32.add(at(base), f32.mul(code, at(step)))),
      f32.store(i32.add(errors, k), f32.sub(target, value)),
      off.set(f32.sub(wish, value)),
      loss.set(f32.add(loss, f32.mul(f32.load(i32.add(pivots, k)), f32.mul(off, off)))),
      feedback.set(i32.add(feedback, strideBytes)),
    ]),
    give(loss),
  );
  return fn;
}

/** (matrix, strideBytes, bytes, values, pull, own, inverseOwn, base, step, inverse, codes, top) -> gain */
export function makeSweep(): WasmFunction<'f32'> {
  const { fn, matrix, strideBytes, bytes, values, pull, own, inverseOwn, base, step, inverse, codes, top } =
    chooser(['matrix', 'strideBytes', 'bytes', 'values', 'pull', 'own', 'inverseOwn']);
  const [at, j, i] = [0, 1, 2].map(() => fn.local('i32'));
  const [found, factors] = [0, 1].map(() => fn.local('v128'));
  const [code, change, gain, gained] = [0, 1, 2, 3].map(() => fn.local('f32'));
  const four = (vector: I32): V128 => v128.load(i32.add(vector, at));
  const one = (vector: I32): F32 => f32.load(i32.add(vector, j));
  const limit = f32x4.splat(top);
  const rounding = f32x4.const(ROUNDING);

  /** Of four weights, where all others stay. */
  const wishes = f32x4.mul(
    f32x4.sub(f32x4.add(four(values), f32x4.mul(four(pull), four(inverseOwn))), four(base)),
    four(inverse),
  );
  const nearest = f32x4.sub(
    f32x4.add(f32x4.pmin(f32x4.pmax(wishes, f32x4.const(0)), limit), rounding),
    rounding,
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
    code.set(
      nearestCode(f32.add(one(values), f32.mul(one(pull), one(inverseOwn))), one(base), one(inverse), top),
    ),
    change.set(f32.sub(f32.add(one(base), f32.mul(code, one(step))), one(values))),
    gain.set(f32.mul(change, f32.sub(f32.mul(f32.const(2), one(pull)), f32.mul(change, one(own))))),
    when(i32.and(f32.ne(code, one(codes)), f32.gt(gain, f32.const(0))), [
      f32.store(i32.add(codes, j), code),
      f32.store(i32.add(values, j), f32.add(one(base), f32.mul(code, one(step)))),
      ...addRow(f32.neg(change)),
      gained.set(f32.add(gained, gain)),
    ]),
  ]);
  fn.add(
    at.set(i32.const(0)),
    loop(at, 16, bytes, [found.set(f32x4.ne(nearest, four(codes))), when(i32x4.bitmask(found), better)]),
    give(gained),
  );
  return fn;
}

/** Row j of a matrix whose rows are `strideBytes` apart, in bytes from its start; `j` is in bytes of floats. */
function rowOf(j: I32, strideBytes: I32): I32 {
  return i32.mul(i32.shrU(j, i32.const(2)), strideBytes);
}
