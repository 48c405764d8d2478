/**
 * @file Stored floats to float32 in a lane's memory, and their largest magnitude on the way. For floats of one format the
 * order of magnitudes is that of their bits without the sign, infinities and NaN above all.
 */
import * as layout from './layout.js';
import { f32x4, i16x8, i32, i32x4, type Statement, v128, type V128 } from './instructions.js';
import { type Local, loop, WasmFunction } from './wasm.js';

/** Types that lanes decode. */
export type LaneSource = 'F32' | 'F16' | 'BF16';

const zero = i32.const(0);

/**
 * `run(source, values, bytes)`: decodes a multiple of 16 bytes. The largest magnitude's bits are then among the lanes (of 32
 * bits for F32, else 16) at `layout.MAGNITUDES`.
 */
export function makeDecoder(source: LaneSource): WasmFunction<null> {
  const fn = new WasmFunction(['i32', 'i32', 'i32'], null);
  const [from, to, bytes] = [0, 1, 2].map((index) => fn.parameter(index, 'i32'));
  const i = fn.local('i32');
  const [stored, magnitude, largest] = Array.from({ length: 3 }, () => fn.local('v128'));
  const parts = decoded(source, stored, magnitude);
  const target = i32.add(to, i32.mul(i, i32.const(parts.length)));
  fn.add(
    i.set(zero),
    largest.set(i32x4.const(0)),
    loop(i, 16, bytes, [
      stored.set(v128.load(i32.add(from, i))),
      ...magnitudes(source, stored, magnitude, largest),
      ...parts.map((part, index) => v128.store(target, part, 16 * index)),
    ]),
    v128.store(zero, largest, layout.MAGNITUDES),
  );
  return fn;
}

function magnitudes(
  source: LaneSource,
  stored: V128,
  magnitude: Local<'v128'>,
  largest: Local<'v128'>,
): Statement[] {
  const [mask, greater] =
    source === 'F32' ? [i32x4.const(0x7fffffff), i32x4.maxS] : [i16x8.splat(0x7fff), i16x8.maxS];
  return [magnitude.set(v128.and(stored, mask)), largest.set(greater(largest, magnitude))];
}

/** The floats of 16 stored bytes, in vectors. */
function decoded(source: LaneSource, stored: V128, magnitude: V128): readonly V128[] {
  const halves = [i32x4.extendLowI16x8U, i32x4.extendHighI16x8U];
  switch (source) {
    case 'F32':
      return [stored];
    case 'BF16':
      return halves.map((half) => i32x4.shl(half(stored), 16));
    case 'F16':
      // Exponent and mantissa moved into place are the value times 2^-112, subnormals included.
      return halves.map((half) => {
        const scaled = f32x4.mul(i32x4.shl(half(magnitude), 13), f32x4.const(2 ** 112));
        const sign = v128.and(i32x4.shl(half(stored), 16), i32x4.const(0x80000000 | 0));
        return v128.or(scaled, sign);
      });
    default:
      return source satisfies never;
  }
}

/** The magnitude behind the bits that a decoder left; infinite or NaN where one of the floats was. */
export function largestMagnitude(source: LaneSource, memory: ArrayBufferLike): number {
  if (source === 'F32') {
    const bits = Math.max(...new Uint32Array(memory, layout.MAGNITUDES, 4));
    return new Float32Array(Uint32Array.of(bits).buffer)[0];
  }
  const bits = Math.max(...new Uint16Array(memory, layout.MAGNITUDES, 8));
  if (source === 'BF16') return new Float32Array(Uint32Array.of(bits * 65_536).buffer)[0];
  if (bits >= 0x7c00) return Infinity;
  return new Float32Array(Uint32Array.of(bits * 8192).buffer)[0] * 2 ** 112;
}
