/**
 * @file A small WebAssembly assembler: typed expressions for the instructions that the kernels use, functions and loops,
 * and the binary module around them. TypeScript loops and functions serve as macros. Format: the WebAssembly core
 * specification with fixed-width SIMD.
 */

/** Instruction bytes, nested as they were put together; the number of a called function is looked up at the end. */
type Code = readonly (number | Code | WasmFunction<ValueType | null>)[];

export type ValueType = 'i32' | 'f32' | 'v128';

const valueTypes: Readonly<Record<ValueType, number>> = { i32: 0x7f, f32: 0x7d, v128: 0x7b };

/** Leaves one value on the stack. */
export interface Expression<Type extends ValueType> {
  readonly type: Type;
  readonly code: Code;
}

export type I32 = Expression<'i32'>;
export type F32 = Expression<'f32'>;
export type V128 = Expression<'v128'>;

/** Leaves nothing on the stack. */
export interface Statement {
  readonly code: Code;
}

function expression<Type extends ValueType>(type: Type, ...code: Code): Expression<Type> {
  return { type, code };
}

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 128);
  }
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7) {
    const low = rest & 127;
    if ((rest >> 7 === 0 && low < 64) || (rest >> 7 === -1 && low >= 64)) return [...bytes, low];
    bytes.push(low | 128);
  }
}

function littleEndian(values: Float32Array | Int32Array | Uint8Array): number[] {
  return [...new Uint8Array(values.buffer, values.byteOffset, values.byteLength)];
}

const unary =
  <From extends ValueType, To extends ValueType>(to: To, ...opcode: Code) =>
  (a: Expression<From>): Expression<To> =>
    expression(to, a.code, opcode);
const binary =
  <From extends ValueType, To extends ValueType>(to: To, ...opcode: Code) =>
  (a: Expression<From>, b: Expression<From>): Expression<To> =>
    expression(to, a.code, b.code, opcode);
const load =
  <To extends ValueType>(to: To, ...opcode: Code) =>
  (address: I32, offset = 0): Expression<To> =>
    expression(to, address.code, opcode, 0, unsigned(offset));
const store =
  <From extends ValueType>(...opcode: Code) =>
  (address: I32, value: Expression<From>, offset = 0): Statement => ({
    code: [address.code, value.code, opcode, 0, unsigned(offset)],
  });
const simd = (opcode: number): Code => [0xfd, unsigned(opcode)];

export const i32 = {
  const: (value: number): I32 => expression('i32', 0x41, signed(value)),
  eqz: unary<'i32', 'i32'>('i32', 0x45),
  eq: binary<'i32', 'i32'>('i32', 0x46),
  ne: binary<'i32', 'i32'>('i32', 0x47),
  ltS: binary<'i32', 'i32'>('i32', 0x48),
  ltU: binary<'i32', 'i32'>('i32', 0x49),
  gtU: binary<'i32', 'i32'>('i32', 0x4b),
  add: binary<'i32', 'i32'>('i32', 0x6a),
  sub: binary<'i32', 'i32'>('i32', 0x6b),
  mul: binary<'i32', 'i32'>('i32', 0x6c),
  and: binary<'i32', 'i32'>('i32', 0x71),
  or: binary<'i32', 'i32'>('i32', 0x72),
  shl: binary<'i32', 'i32'>('i32', 0x74),
  shrU: binary<'i32', 'i32'>('i32', 0x76),
  bits: unary<'f32', 'i32'>('i32', 0xbc),
  load8U: load('i32', 0x2d),
  load16U: load('i32', 0x2f),
  store8: store<'i32'>(0x3a),
  store16: store<'i32'>(0x3b),
};

export const f32 = {
  const: (value: number): F32 => expression('f32', 0x43, littleEndian(Float32Array.of(value))),
  lt: binary<'f32', 'i32'>('i32', 0x5d),
  gt: binary<'f32', 'i32'>('i32', 0x5e),
  ne: binary<'f32', 'i32'>('i32', 0x5c),
  abs: unary<'f32', 'f32'>('f32', 0x8b),
  neg: unary<'f32', 'f32'>('f32', 0x8c),
  add: binary<'f32', 'f32'>('f32', 0x92),
  sub: binary<'f32', 'f32'>('f32', 0x93),
  mul: binary<'f32', 'f32'>('f32', 0x94),
  div: binary<'f32', 'f32'>('f32', 0x95),
  fromI32: unary<'i32', 'f32'>('f32', 0xb2),
  ofBits: unary<'i32', 'f32'>('f32', 0xbe),
  load: load('f32', 0x2a),
  store: store<'f32'>(0x38),
};

export const v128 = {
  load: load('v128', simd(0)),
  loadSplat32: load('v128', simd(9)),
  store: store<'v128'>(simd(11)),
  const: (bytes: Uint8Array): V128 => expression('v128', simd(12), littleEndian(bytes)),
  and: binary<'v128', 'v128'>('v128', simd(78)),
  andNot: binary<'v128', 'v128'>('v128', simd(79)),
  or: binary<'v128', 'v128'>('v128', simd(80)),
  anyTrue: unary<'v128', 'i32'>('i32', simd(83)),
  /** `a` where the mask is set, else `b`. */
  select: (mask: V128, a: V128, b: V128): V128 => expression('v128', a.code, b.code, mask.code, simd(82)),
};

export const i8x16 = {
  splat: (value: number): V128 => v128.const(new Uint8Array(16).fill(value)),
  shuffle: (a: V128, b: V128, lanes: readonly number[]): V128 =>
    expression('v128', a.code, b.code, simd(13), lanes),
  swizzle: binary<'v128', 'v128'>('v128', simd(14)),
  narrowI16x8S: binary<'v128', 'v128'>('v128', simd(101)),
  narrowI16x8U: binary<'v128', 'v128'>('v128', simd(102)),
  shl: (a: V128, bits: number): V128 => expression('v128', a.code, i32.const(bits).code, simd(107)),
  shrU: (a: V128, bits: number): V128 => expression('v128', a.code, i32.const(bits).code, simd(109)),
};

export const i16x8 = {
  splat: (value: number): V128 => v128.const(new Uint8Array(new Uint16Array(8).fill(value).buffer)),
  narrowI32x4S: binary<'v128', 'v128'>('v128', simd(133)),
  maxS: binary<'v128', 'v128'>('v128', simd(152)),
};

export const i32x4 = {
  const: (value: number): V128 =>
    expression('v128', simd(12), littleEndian(Int32Array.of(value, value, value, value))),
  extendLowI16x8U: unary<'v128', 'v128'>('v128', simd(169)),
  extendHighI16x8U: unary<'v128', 'v128'>('v128', simd(170)),
  shl: (a: V128, bits: number): V128 => expression('v128', a.code, i32.const(bits).code, simd(171)),
  shrS: (a: V128, bits: number): V128 => expression('v128', a.code, i32.const(bits).code, simd(172)),
  add: binary<'v128', 'v128'>('v128', simd(174)),
  sub: binary<'v128', 'v128'>('v128', simd(177)),
  minS: binary<'v128', 'v128'>('v128', simd(182)),
  maxS: binary<'v128', 'v128'>('v128', simd(184)),
  /** Floats cut to integers. */
  fromF32x4: unary<'v128', 'v128'>('v128', simd(248)),
};

export const f32x4 = {
  const: (value: number): V128 =>
    expression('v128', simd(12), littleEndian(Float32Array.of(value, value, value, value))),
  splat: unary<'f32', 'v128'>('v128', simd(19)),
  lane: (a: V128, index: number): F32 => expression('f32', a.code, simd(31), index),
  lt: binary<'v128', 'v128'>('v128', simd(67)),
  gt: binary<'v128', 'v128'>('v128', simd(68)),
  le: binary<'v128', 'v128'>('v128', simd(69)),
  ge: binary<'v128', 'v128'>('v128', simd(70)),
  abs: unary<'v128', 'v128'>('v128', simd(224)),
  neg: unary<'v128', 'v128'>('v128', simd(225)),
  sqrt: unary<'v128', 'v128'>('v128', simd(227)),
  add: binary<'v128', 'v128'>('v128', simd(228)),
  sub: binary<'v128', 'v128'>('v128', simd(229)),
  mul: binary<'v128', 'v128'>('v128', simd(230)),
  div: binary<'v128', 'v128'>('v128', simd(231)),
  /** `b` where it is less than `a`, else `a`. */
  pmin: binary<'v128', 'v128'>('v128', simd(234)),
  /** `b` where it is greater than `a`, else `a`. */
  pmax: binary<'v128', 'v128'>('v128', simd(235)),
  trunc: unary<'v128', 'v128'>('v128', simd(105)),
  fromI32x4: unary<'v128', 'v128'>('v128', simd(250)),
};

/** A variable; as an expression, its value. */
export interface Local<Type extends ValueType> extends Expression<Type> {
  set(value: Expression<Type>): Statement;
}

/** One function being written: its parameters, its variables, its body. */
export class WasmFunction<Result extends ValueType | null> {
  readonly parameters: readonly ValueType[];
  readonly result: Result;
  readonly body: Statement[] = [];
  private readonly variables: ValueType[] = [];

  constructor(parameters: readonly ValueType[], result: Result) {
    this.parameters = parameters;
    this.result = result;
  }

  parameter<Type extends ValueType>(index: number, type: Type): Local<Type> {
    return variable(index, type);
  }

  local<Type extends ValueType>(type: Type): Local<Type> {
    this.variables.push(type);
    return variable(this.parameters.length + this.variables.length - 1, type);
  }

  add(...statements: Statement[]): void {
    this.body.push(...statements);
  }

  /** The function's bytes in the code section of a module of `functions`. */
  encode(functions: readonly WasmFunction<ValueType | null>[]): number[] {
    const locals = this.variables.map((type) => [1, valueTypes[type]]);
    const code = [unsigned(locals.length), locals, this.body.map((statement) => statement.code), 0x0b];
    return sized(flat(code, functions));
  }

  get signature(): number[] {
    const results = this.result === null ? [] : [valueTypes[this.result]];
    return [
      0x60,
      ...vector(this.parameters.map((type) => [valueTypes[type]])),
      ...vector(results.map((type) => [type])),
    ];
  }
}

function variable<Type extends ValueType>(index: number, type: Type): Local<Type> {
  const set = (value: Expression<Type>): Statement => ({ code: [value.code, 0x21, unsigned(index)] });
  return { ...expression(type, 0x20, unsigned(index)), set };
}

/** The value that a function returns. */
export function result<Result extends ValueType>(
  callee: WasmFunction<Result>,
  ...values: Expression<ValueType>[]
): Expression<Result> {
  return expression(
    callee.result,
    values.map(({ code }) => code),
    0x10,
    callee,
  );
}

/** Calls a function that returns nothing. */
export function call(callee: WasmFunction<null>, ...values: Expression<ValueType>[]): Statement {
  return { code: [values.map(({ code }) => code), 0x10, callee] };
}

/** Ends a function with its value. */
export function give(value: Expression<ValueType>): Statement {
  return { code: [value.code, 0x0f] };
}

/** Runs the body at least once, and again while `counter`, advanced by `step`, is less than `end` (unsigned). */
export function loop(counter: Local<'i32'>, step: number, end: I32, body: readonly Statement[]): Statement {
  const advance = counter.set(i32.add(counter, i32.const(step)));
  const again = [i32.ltU(counter, end).code, 0x0d, 0];
  return { code: [0x03, 0x40, body.map(({ code }) => code), advance.code, again, 0x0b] };
}

export function when(
  condition: I32,
  then: readonly Statement[],
  otherwise: readonly Statement[] = [],
): Statement {
  const other = otherwise.length === 0 ? [] : [0x05, otherwise.map(({ code }) => code)];
  return { code: [condition.code, 0x04, 0x40, then.map(({ code }) => code), other, 0x0b] };
}

/** `a` where the condition holds, else `b`; both are computed. */
export function choose<Type extends ValueType>(
  condition: I32,
  a: Expression<Type>,
  b: Expression<Type>,
): Expression<Type> {
  return expression(a.type, a.code, b.code, condition.code, 0x1b);
}

/**
 * A module with one imported shared memory (`env.memory`) and one exported function (`run`), the last of `functions`.
 * @param maximumPages the memory's limit, as it is made with
 */
export function assemble(
  functions: readonly WasmFunction<ValueType | null>[],
  maximumPages: number,
): Uint8Array<ArrayBuffer> {
  const header = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const types = vector(functions.map(({ signature }) => signature));
  const memory = [...name('env'), ...name('memory'), 2, 3, ...unsigned(1), ...unsigned(maximumPages)];
  const entry = [...name('run'), 0, ...unsigned(functions.length - 1)];
  return Uint8Array.from([
    ...header,
    ...section(1, types),
    ...section(2, vector([memory])),
    ...section(3, vector(functions.map((_, index) => unsigned(index)))),
    ...section(7, vector([entry])),
    ...section(10, vector(functions.map((definition) => definition.encode(functions)))),
  ]);
}

function flat(code: Code, functions: readonly WasmFunction<ValueType | null>[]): number[] {
  const bytes: number[] = [];
  const walk = (part: Code): void => {
    for (const item of part) {
      if (typeof item === 'number') bytes.push(item);
      else if (item instanceof WasmFunction) bytes.push(...unsigned(functions.indexOf(item)));
      else walk(item);
    }
  };
  walk(code);
  return bytes;
}

function sized(bytes: readonly number[]): number[] {
  return [...unsigned(bytes.length), ...bytes];
}

function vector(items: readonly (readonly number[])[]): number[] {
  return [...unsigned(items.length), ...items.flat()];
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...sized(content)];
}

function name(text: string): number[] {
  return sized([...new TextEncoder().encode(text)]);
}
