/**
 * @file WebAssembly instructions as typed expressions: those that the kernels use. TypeScript's loops and functions serve as
 * macros. Format: the WebAssembly core specification with fixed-width SIMD.
 */
/** A function that can be called; null where it returns nothing. */
export interface Callee {
  readonly result: ValueType | null;
}

/** Instruction bytes, nested as they were put together; the number of a called function is looked up at the end. */
export type Code = readonly (number | Code | Callee)[];

export type ValueType = 'i32' | 'f32' | 'v128';

export const valueTypes: Readonly<Record<ValueType, number>> = { i32: 0x7f, f32: 0x7d, v128: 0x7b };

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

export function expression<Type extends ValueType>(type: Type, ...code: Code): Expression<Type> {
  return { type, code };
}

export function unsigned(value: number): number[] {
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
  popcnt: unary<'i32', 'i32'>('i32', 0x69),
  add: binary<'i32', 'i32'>('i32', 0x6a),
  sub: binary<'i32', 'i32'>('i32', 0x6b),
  mul: binary<'i32', 'i32'>('i32', 0x6c),
  and: binary<'i32', 'i32'>('i32', 0x71),
  or: binary<'i32', 'i32'>('i32', 0x72),
  xor: binary<'i32', 'i32'>('i32', 0x73),
  shl: binary<'i32', 'i32'>('i32', 0x74),
  shrU: binary<'i32', 'i32'>('i32', 0x76),
  bits: unary<'f32', 'i32'>('i32', 0xbc),
  load: load('i32', 0x28),
  load8S: load('i32', 0x2c),
  load8U: load('i32', 0x2d),
  load16U: load('i32', 0x2f),
  store: store<'i32'>(0x36),
  store8: store<'i32'>(0x3a),
  store16: store<'i32'>(0x3b),
};

export const f32 = {
  const: (value: number): F32 => expression('f32', 0x43, littleEndian(Float32Array.of(value))),
  lt: binary<'f32', 'i32'>('i32', 0x5d),
  gt: binary<'f32', 'i32'>('i32', 0x5e),
  le: binary<'f32', 'i32'>('i32', 0x5f),
  ne: binary<'f32', 'i32'>('i32', 0x5c),
  abs: unary<'f32', 'f32'>('f32', 0x8b),
  neg: unary<'f32', 'f32'>('f32', 0x8c),
  add: binary<'f32', 'f32'>('f32', 0x92),
  sub: binary<'f32', 'f32'>('f32', 0x93),
  mul: binary<'f32', 'f32'>('f32', 0x94),
  div: binary<'f32', 'f32'>('f32', 0x95),
  min: binary<'f32', 'f32'>('f32', 0x96),
  max: binary<'f32', 'f32'>('f32', 0x97),
  fromI32: unary<'i32', 'f32'>('f32', 0xb2),
  ofBits: unary<'i32', 'f32'>('f32', 0xbe),
  load: load('f32', 0x2a),
  store: store<'f32'>(0x38),
};

export const v128 = {
  load: load('v128', simd(0)),
  loadSplat32: load('v128', simd(9)),
  /** `value` with one lane from memory. */
  loadLane32: (address: I32, value: V128, lane: number): V128 =>
    expression('v128', address.code, value.code, simd(86), 0, 0, lane),
  store: store<'v128'>(simd(11)),
  const: (bytes: Uint8Array): V128 => expression('v128', simd(12), littleEndian(bytes)),
  and: binary<'v128', 'v128'>('v128', simd(78)),
  andNot: binary<'v128', 'v128'>('v128', simd(79)),
  or: binary<'v128', 'v128'>('v128', simd(80)),
  xor: binary<'v128', 'v128'>('v128', simd(81)),
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
  splat: unary<'i32', 'v128'>('v128', simd(17)),
  lane: (a: V128, index: number): I32 => expression('i32', a.code, simd(27), index),
  const: (value: number): V128 =>
    expression('v128', simd(12), littleEndian(Int32Array.of(value, value, value, value))),
  extendLowI16x8U: unary<'v128', 'v128'>('v128', simd(169)),
  extendHighI16x8U: unary<'v128', 'v128'>('v128', simd(170)),
  shl: (a: V128, bits: number): V128 => expression('v128', a.code, i32.const(bits).code, simd(171)),
  shrS: (a: V128, bits: number): V128 => expression('v128', a.code, i32.const(bits).code, simd(172)),
  add: binary<'v128', 'v128'>('v128', simd(174)),
  sub: binary<'v128', 'v128'>('v128', simd(177)),
  shrU: (a: V128, bits: number): V128 => expression('v128', a.code, i32.const(bits).code, simd(173)),
  minS: binary<'v128', 'v128'>('v128', simd(182)),
  maxS: binary<'v128', 'v128'>('v128', simd(184)),
  /** The lanes' highest bits. */
  bitmask: unary<'v128', 'i32'>('i32', simd(164)),
  /** Floats cut to integers. */
  fromF32x4: unary<'v128', 'v128'>('v128', simd(248)),
};

export const f32x4 = {
  const: (value: number): V128 =>
    expression('v128', simd(12), littleEndian(Float32Array.of(value, value, value, value))),
  splat: unary<'f32', 'v128'>('v128', simd(19)),
  lane: (a: V128, index: number): F32 => expression('f32', a.code, simd(31), index),
  eq: binary<'v128', 'v128'>('v128', simd(65)),
  ne: binary<'v128', 'v128'>('v128', simd(66)),
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
