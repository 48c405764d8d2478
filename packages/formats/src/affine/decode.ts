/** @file Affine codes back to weights: w' = (code - zero) scale. Mirrors `encode.ts`. */
import { checkTarget } from '../float/bits.js';
import { decodeF16 } from '../float/decode.js';
import { unpackCodes } from './bit-stream.js';
import { affineRow, shapeError } from './geometry.js';
import type { AffineTensor } from './types.js';

/**
 * Decodes all rows. With half-float scales every weight is exact in float32.
 * @param target at least `rows` x `rowLength` values; made when left out
 * @throws BitsmithError `AFFINE_SPEC`, `AFFINE_SHAPE` when an array has another length than the spec says, `TARGET_TOO_SMALL`
 */
export function decodeAffine(tensor: AffineTensor, target?: Float32Array): Float32Array {
  const { spec, rows, rowLength, data, zeroPoints } = tensor;
  const row = affineRow(spec, rowLength);
  refuseOtherLengths(tensor, row);
  const values = target ?? new Float32Array(rows * rowLength);
  checkTarget(rows * rowLength, values.length);
  const scales = tensor.scales instanceof Float32Array ? tensor.scales : decodeF16(tensor.scales);
  const codes = new Uint8Array(rowLength);
  const zeros = new Uint8Array(row.groups).fill(1 << (spec.bits - 1));
  for (let index = 0; index < rows; index++) {
    unpackCodes(data, index * row.dataBytes, rowLength, spec.bits, codes);
    if (row.zeroPointBytes > 0)
      unpackCodes(zeroPoints, index * row.zeroPointBytes, row.groups, spec.bits, zeros);
    for (let group = 0; group < row.groups; group++) {
      const scale = scales[index * row.groups + group];
      const zero = zeros[group];
      const last = Math.min(rowLength, (group + 1) * row.groupSize);
      for (let column = group * row.groupSize; column < last; column++) {
        values[index * rowLength + column] = (codes[column] - zero) * scale;
      }
    }
  }
  return values;
}

function refuseOtherLengths(tensor: AffineTensor, row: ReturnType<typeof affineRow>): void {
  const { rows } = tensor;
  const lengths = [
    ['data', tensor.data.byteLength, rows * row.dataBytes],
    ['scales', tensor.scales.byteLength, rows * row.scaleBytes],
    ['zero points', tensor.zeroPoints.byteLength, rows * row.zeroPointBytes],
  ] as const;
  for (const [what, found, expected] of lengths) {
    if (found !== expected) throw shapeError(`${expected} bytes of ${what}`, `${found}`);
  }
}
