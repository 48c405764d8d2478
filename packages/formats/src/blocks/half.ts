/** @file Half floats at a place among bytes. */
import { decodeF16 } from '../float/decode.js';
import { encodeF16 } from '../float/encode.js';

const code = new Uint16Array(1);
const value = new Float32Array(1);

export function readHalf(bytes: Uint8Array, at: number): number {
  code[0] = bytes[at] | (bytes[at + 1] << 8);
  return decodeF16(code, value)[0];
}

/** @param exact a number that a half float holds */
export function writeHalf(bytes: Uint8Array, at: number, exact: number): void {
  value[0] = exact;
  encodeF16(value, code);
  bytes[at] = code[0] & 255;
  bytes[at + 1] = code[0] >> 8;
}
