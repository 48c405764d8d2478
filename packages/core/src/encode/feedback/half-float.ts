/** @file Numbers to the nearest half float. */
import { decodeF16, encodeF16 } from '@bitsmith/formats';

const LARGEST = 65_504;
const value = new Float32Array(1);
const code = new Uint16Array(1);

/** Ties to even; what is too large becomes the largest. */
export function nearestHalf(wish: number): number {
  value[0] = Math.min(LARGEST, Math.max(-LARGEST, wish));
  return decodeF16(encodeF16(value, code), value)[0];
}
