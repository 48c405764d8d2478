/**
 * @file Vectors and symmetric matrices of a few hundred floats, for solvers that change one number at a time: a row added, a product
 * of two vectors, a matrix times a vector. Everything lies in one memory, rows padded with zeros to whole strides; sums are
 * taken in a fixed order.
 */
import { f32, f32x4, i32, i8x16, type Statement, v128, type V128 } from './instructions.js';
import { makeDecide, makeSweep } from './span-codes.js';
import type { LevelKind } from './span-levels.js';
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
  /** target += factors[0] * row 0 + factors[1] * row 1 ...; rows come in fours, those that are too many with factors of zero. */
  addRows(
    target: number,
    matrix: number,
    factors: number,
    rows: number,
    rowBytes: number,
    strideBytes: number,
  ): void;
  product(a: number, b: number, byteLength: number): number;
  /** target[i] = row i of the matrix, `rowBytes` of every `strideBytes`, times the vector; rows come in fours. */
  multiply(
    matrix: number,
    vector: number,
    target: number,
    rows: number,
    rowBytes: number,
    strideBytes: number,
  ): void;
  /** The same with four vectors and targets that lie `vectorBytes` apart; rows come in twos. */
  multiplyFour(
    matrix: number,
    vectors: number,
    targets: number,
    vectorBytes: number,
    rows: number,
    strideBytes: number,
  ): void;
  /**
   * Decides codes of four rows in an order, each weight with what it takes over of the errors before it; losses are sums of `pivots`
   * times squares of what is left. Vectors of the rows lie `rowBytes` apart, their errors and losses side by side.
   */
  readonly decide: ByLevels<
    [
      order: number,
      feedback: number,
      strideBytes: number,
      byteLength: number,
      pivots: number,
      errors: number,
      targets: number,
      base: number,
      step: number,
      inverse: number,
      codes: number,
      rowBytes: number,
      losses: number,
    ],
    void
  >;
  /** Changes every code that is better changed while all others stay; `pull` follows. Returns what that gained. */
  readonly sweep: ByLevels<
    [
      matrix: number,
      strideBytes: number,
      byteLength: number,
      values: number,
      pull: number,
      own: number,
      inverseOwn: number,
      base: number,
      step: number,
      inverse: number,
      codes: number,
    ],
    number
  >;
}

/** The same for levels that are whole numbers up to `top`, and for those of a list. */
interface ByLevels<Places extends number[], Result> {
  even(...places: [...Places, top: number]): Result;
  /** @param list as `levelList` makes it */
  listed(...places: [...Places, list: number, byteLength: number]): Result;
}

/** In a memory of its own, on the thread that asks. */
export async function spanAlgebra(byteLength: number): Promise<SpanAlgebra> {
  const pages = Math.ceil(byteLength / PAGE_BYTES);
  const memory = new wasmRuntime.Memory({ initial: pages, maximum: pages, shared: true });
  const compile = async <Kernel>(fn: WasmFunction<'f32' | null>): Promise<Kernel> => {
    const module = await wasmRuntime.compile(assemble([fn], pages));
    return new wasmRuntime.Instance(module, { env: { memory } }).exports['run'] as Kernel;
  };
  const byLevels = async <Kernels>(make: (kind: LevelKind) => WasmFunction<'f32' | null>): Promise<Kernels> =>
    ({ even: await compile(make('even')), listed: await compile(make('listed')) }) as Kernels;
  return {
    memory,
    addRow: await compile(makeAddRow()),
    addRows: await compile(makeAddRows()),
    product: await compile(makeProduct()),
    multiply: await compile(makeMultiply()),
    multiplyFour: await compile(makeMultiplyFour()),
    decide: await byLevels(makeDecide),
    sweep: await byLevels(makeSweep),
  };
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

/** Four sums of four lanes each to one vector of their totals. */
function totals(sums: readonly V128[]): V128 {
  // Lanes 0 and 1 of both, lanes 2 and 3; then even lanes, odd lanes.
  const [low, high] = [bytesOfLanes(0, 1, 4, 5), bytesOfLanes(2, 3, 6, 7)];
  const [even, odd] = [bytesOfLanes(0, 2, 4, 6), bytesOfLanes(1, 3, 5, 7)];
  const halves = (a: V128, b: V128): V128 => f32x4.add(i8x16.shuffle(a, b, low), i8x16.shuffle(a, b, high));
  const [first, second] = [halves(sums[0], sums[1]), halves(sums[2], sums[3])];
  return f32x4.add(i8x16.shuffle(first, second, even), i8x16.shuffle(first, second, odd));
}

function bytesOfLanes(...lanes: readonly number[]): number[] {
  return lanes.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte));
}

const ROWS = [0, 1, 2, 3] as const;

interface RowLoop {
  readonly row: Local<'i32'>;
  readonly i: Local<'i32'>;
  /** Of four rows. */
  readonly places: readonly Local<'i32'>[];
}

function rowLoop(fn: WasmFunction<null>): RowLoop {
  return { row: fn.local('i32'), i: fn.local('i32'), places: ROWS.map(() => fn.local('i32')) };
}

/** Four rows at a time: what comes before their columns, what is done at each block of these, what comes after. */
function byFours(
  { row, i, places }: RowLoop,
  { matrix, rows, bytes, stride }: Readonly<Record<'matrix' | 'rows' | 'bytes' | 'stride', Local<'i32'>>>,
  before: readonly Statement[],
  body: readonly Statement[],
  after: readonly Statement[],
): Statement[] {
  return [
    row.set(i32.const(0)),
    loop(row, 4, rows, [
      places[0].set(matrix),
      ...[1, 2, 3].map((index) => places[index].set(i32.add(places[index - 1], stride))),
      ...before,
      i.set(i32.const(0)),
      loop(i, BLOCK_BYTES, bytes, body),
      ...after,
      matrix.set(i32.add(places[3], stride)),
    ]),
  ];
}

function makeMultiply(): WasmFunction<null> {
  const fn = new WasmFunction(['i32', 'i32', 'i32', 'i32', 'i32', 'i32'], null);
  const [matrix, vector, target, rows, bytes, stride] = [0, 1, 2, 3, 4, 5].map((index) =>
    fn.parameter(index, 'i32'),
  );
  const four = rowLoop(fn);
  const sums = ROWS.map(() => fn.local('v128'));
  const values = fn.local('v128');
  const { i, places } = four;
  fn.add(
    ...byFours(
      four,
      { matrix, rows, bytes, stride },
      sums.map((sum) => sum.set(f32x4.const(0))),
      [0, 1, 2, 3].flatMap((part) => [
        values.set(v128.load(i32.add(vector, i), 16 * part)),
        ...sums.map((sum, index) =>
          sum.set(f32x4.add(sum, f32x4.mul(v128.load(i32.add(places[index], i), 16 * part), values))),
        ),
      ]),
      [v128.store(target, totals(sums)), target.set(i32.add(target, i32.const(16)))],
    ),
  );
  return fn;
}

function makeMultiplyFour(): WasmFunction<null> {
  const fn = new WasmFunction(['i32', 'i32', 'i32', 'i32', 'i32', 'i32'], null);
  const [matrix, vectors, targets, vectorBytes, rows, stride] = [0, 1, 2, 3, 4, 5].map((index) =>
    fn.parameter(index, 'i32'),
  );
  const [row, i, next, place] = [0, 1, 2, 3].map(() => fn.local('i32'));
  const places = ROWS.map(() => fn.local('i32'));
  const sums = [0, 1].map(() => ROWS.map(() => fn.local('v128')));
  const values = [0, 1].map(() => fn.local('v128'));
  const starts = [matrix, next];
  const value = fn.local('v128');
  const step = (part: number): Statement[] => [
    ...values.map((ofRow, index) => ofRow.set(v128.load(i32.add(starts[index], i), 16 * part))),
    ...places.flatMap((vector, column) => [
      value.set(v128.load(i32.add(vector, i), 16 * part)),
      ...sums.map((ofRow, index) =>
        ofRow[column].set(f32x4.add(ofRow[column], f32x4.mul(values[index], value))),
      ),
    ]),
  ];
  fn.add(
    places[0].set(vectors),
    ...[1, 2, 3].map((index) => places[index].set(i32.add(places[index - 1], vectorBytes))),
    row.set(i32.const(0)),
    loop(row, 2, rows, [
      next.set(i32.add(matrix, stride)),
      ...sums.flat().map((sum) => sum.set(f32x4.const(0))),
      i.set(i32.const(0)),
      loop(i, BLOCK_BYTES, stride, ROWS.flatMap(step)),
      ...sums.flatMap((ofValues, index) => [
        ofValues[0].set(totals(ofValues)),
        place.set(targets),
        ...ROWS.flatMap((lane) => [
          f32.store(place, f32x4.lane(ofValues[0], lane), 4 * index),
          place.set(i32.add(place, vectorBytes)),
        ]),
      ]),
      targets.set(i32.add(targets, i32.const(8))),
      matrix.set(i32.add(next, stride)),
    ]),
  );
  return fn;
}

function makeAddRows(): WasmFunction<null> {
  const fn = new WasmFunction(['i32', 'i32', 'i32', 'i32', 'i32', 'i32'], null);
  const [target, matrix, vector, rows, bytes, stride] = [0, 1, 2, 3, 4, 5].map((index) =>
    fn.parameter(index, 'i32'),
  );
  const four = rowLoop(fn);
  const factors = ROWS.map(() => fn.local('v128'));
  const sum = fn.local('v128');
  const { i, places } = four;
  fn.add(
    ...byFours(
      four,
      { matrix, rows, bytes, stride },
      factors.map((factor, index) => factor.set(v128.loadSplat32(vector, 4 * index))),
      [0, 1, 2, 3].flatMap((part) => [
        sum.set(v128.load(i32.add(target, i), 16 * part)),
        ...factors.map((factor, index) =>
          sum.set(f32x4.add(sum, f32x4.mul(factor, v128.load(i32.add(places[index], i), 16 * part)))),
        ),
        v128.store(i32.add(target, i), sum, 16 * part),
      ]),
      [vector.set(i32.add(vector, i32.const(16)))],
    ),
  );
  return fn;
}
