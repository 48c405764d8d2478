/** @file How much the errors of four weights matter: what the encoders of the low i-quants minimise. */
import { f32x4, type I32, v128, type V128 } from './instructions.js';

/**
 * `importance`: c sqrt(sigma2 + x^2), with c the importance of the column. Without importance `squares`: x^2; or `squares and
 * mean`: sigma2 / 4 + x^2.
 */
export type ErrorWeights = 'importance' | 'squares' | 'squares and mean';

/** @param importance the address of the four weights' importance */
export function errorWeights(
  kind: ErrorWeights,
  value: V128,
  sigma2: V128,
  importance: I32,
  offset: number,
): V128 {
  const square = f32x4.mul(value, value);
  switch (kind) {
    case 'importance':
      return f32x4.mul(v128.load(importance, offset), f32x4.sqrt(f32x4.add(sigma2, square)));
    case 'squares':
      return square;
    case 'squares and mean':
      return f32x4.add(f32x4.mul(f32x4.const(0.25), sigma2), square);
    default:
      return kind satisfies never;
  }
}
