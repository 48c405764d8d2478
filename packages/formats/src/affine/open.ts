/**
 * @file Affine tensors opened: a code for every weight, a scale and a zero point for every group. What is opened can be changed and
 * closed again.
 */
import { decodeF16 } from '../float/decode.js';
import { encodeF16 } from '../float/encode.js';
import { packCodes, unpackCodes } from './bit-stream.js';
import { affineRow } from './geometry.js';
import type { AffineSpec, AffineTensor } from './types.js';

export interface OpenAffine {
  /** One a weight, row by row. */
  readonly codes: Uint8Array;
  /** One a group, row by row: exact in the scales' type. */
  readonly scales: Float32Array;
  /** One a group: the code that stands for zero. */
  readonly zeros: Uint8Array;
}

/** The arrays are copies. @throws BitsmithError `AFFINE_SPEC`, `AFFINE_SHAPE` */
export function openAffine({ spec, rows, rowLength, data, scales, zeroPoints }: AffineTensor): OpenAffine {
  const row = affineRow(spec, rowLength);
  const codes = new Uint8Array(rows * rowLength);
  const zeros = new Uint8Array(rows * row.groups).fill(1 << (spec.bits - 1));
  for (let index = 0; index < rows; index++) {
    const ofRow = codes.subarray(index * rowLength, (index + 1) * rowLength);
    unpackCodes(data, index * row.dataBytes, rowLength, spec.bits, ofRow);
    if (row.zeroPointBytes === 0) continue;
    const ofGroups = zeros.subarray(index * row.groups, (index + 1) * row.groups);
    unpackCodes(zeroPoints, index * row.zeroPointBytes, row.groups, spec.bits, ofGroups);
  }
  return { codes, scales: scales instanceof Float32Array ? scales.slice() : decodeF16(scales), zeros };
}

/** @throws BitsmithError `AFFINE_SPEC`, `AFFINE_SHAPE` */
export function closeAffine(
  { codes, scales, zeros }: OpenAffine,
  spec: AffineSpec,
  rows: number,
  rowLength: number,
): AffineTensor {
  const row = affineRow(spec, rowLength);
  const data = new Uint8Array(rows * row.dataBytes);
  const zeroPoints = new Uint8Array(rows * row.zeroPointBytes);
  for (let index = 0; index < rows; index++) {
    const ofRow = codes.subarray(index * rowLength, (index + 1) * rowLength);
    packCodes(ofRow, rowLength, spec.bits, data, index * row.dataBytes);
    if (row.zeroPointBytes === 0) continue;
    const ofGroups = zeros.subarray(index * row.groups, (index + 1) * row.groups);
    packCodes(ofGroups, row.groups, spec.bits, zeroPoints, index * row.zeroPointBytes);
  }
  const stored = spec.scaleType === 'F16' ? encodeF16(scales) : scales.slice();
  return { spec, rows, rowLength, data, scales: stored, zeroPoints };
}
