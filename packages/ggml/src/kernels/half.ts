/** @file Half precision inside kernels: ggml's portable conversions (`ggml_compute_fp32_to_fp16` and back), step by step. */
import { f32, type F32, i32, type I32 } from './instructions.js';
import { choose, give, WasmFunction } from './wasm.js';

/** float32 to the bits of the nearest half, ties to even. */
export function makeToHalf(): WasmFunction<'i32'> {
  const fn = new WasmFunction(['f32'], 'i32');
  const value = fn.parameter(0, 'f32');
  const doubled = fn.local('i32');
  const bias = fn.local('i32');
  const base = fn.local('f32');
  const bits = fn.local('i32');
  const least = i32.const(0x71000000);
  const scaled = f32.mul(f32.mul(f32.abs(value), f32.const(2 ** 112)), f32.const(2 ** -110));
  fn.add(
    doubled.set(i32.add(i32.bits(value), i32.bits(value))),
    bias.set(i32.and(doubled, i32.const(0xff000000 | 0))),
    bias.set(choose(i32.ltU(bias, least), least, bias)),
    base.set(f32.add(f32.ofBits(i32.add(i32.shrU(bias, i32.const(1)), i32.const(0x07800000))), scaled)),
    bits.set(i32.bits(base)),
  );
  const exponent = i32.and(i32.shrU(bits, i32.const(13)), i32.const(0x7c00));
  const magnitude = i32.add(exponent, i32.and(bits, i32.const(0x0fff)));
  const sign = i32.shrU(i32.and(i32.bits(value), i32.const(0x80000000 | 0)), i32.const(16));
  const notNumber = i32.gtU(doubled, i32.const(0xff000000 | 0));
  fn.add(give(i32.or(sign, choose(notNumber, i32.const(0x7e00), magnitude))));
  return fn;
}

/** The float32 of a half's bits. */
export function fromHalf(bits: I32): F32 {
  const sign = i32.shl(i32.and(bits, i32.const(0x8000)), i32.const(16));
  // Exponent and mantissa moved into place are the value times 2^-112, subnormals included.
  const moved = i32.shl(i32.and(bits, i32.const(0x7fff)), i32.const(13));
  const scaled = i32.bits(f32.mul(f32.ofBits(moved), f32.const(2 ** 112)));
  const overflowed = i32.gtU(moved, i32.const(0x0f7fffff));
  return f32.ofBits(i32.or(sign, choose(overflowed, i32.or(moved, i32.const(0x7f800000)), scaled)));
}
