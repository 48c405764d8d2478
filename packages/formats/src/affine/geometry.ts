/** @file Exact sizes of affine rows, and the checks of what codes can be. */
import { BitsmithError } from '../errors.js';
import { elementCount } from '../gguf/tensor-types.js';
import type { AffineSpec, ScaleType } from './types.js';

/** Places and sizes within a row. */
export interface AffineRow {
  readonly groups: number;
  /** Weights of all groups but the last, which may have fewer. */
  readonly groupSize: number;
  readonly dataBytes: number;
  readonly zeroPointBytes: number;
  readonly scaleBytes: number;
}

const MOST_BITS = 8;
const scaleWidths: Readonly<Record<ScaleType, number>> = { F16: 2, F32: 4 };

/** @throws BitsmithError `AFFINE_SPEC`, `AFFINE_SHAPE` */
export function affineRow(spec: AffineSpec, rowLength: number): AffineRow {
  refuseBadSpec(spec);
  if (!Number.isSafeInteger(rowLength) || rowLength < 0) {
    throw shapeError('rows of a whole number of weights', `${rowLength}`);
  }
  const { bits, symmetry, scaleType } = spec;
  const groupSize = spec.groupSize === 'row' ? Math.max(1, rowLength) : spec.groupSize;
  const groups = Math.ceil(rowLength / groupSize);
  return {
    groups,
    groupSize,
    dataBytes: Math.ceil((rowLength * bits) / 8),
    zeroPointBytes: symmetry === 'symmetric' ? 0 : Math.ceil((groups * bits) / 8),
    scaleBytes: groups * scaleWidths[scaleType],
  };
}

/**
 * Exact bytes of a tensor: codes, scales and zero points. `shape[0]` is the row length.
 * @throws BitsmithError `AFFINE_SPEC`, `AFFINE_SHAPE`
 */
export function affineByteLength(spec: AffineSpec, shape: readonly number[]): number {
  if (!shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0)) {
    throw shapeError('axes of whole, non-negative lengths', `[${shape.join(', ')}]`);
  }
  const row = affineRow(spec, shape[0] ?? 1);
  const rows = elementCount(shape.slice(1));
  const byteLength = rows * (row.dataBytes + row.zeroPointBytes + row.scaleBytes);
  if (Number.isSafeInteger(rows) && Number.isSafeInteger(byteLength)) return byteLength;
  throw shapeError('fewer than 2^53 weights and bytes', `[${shape.join(', ')}]`);
}

/**
 * Bits that one weight of a whole group costs, scale and zero point included. Of groups of a whole row only the codes are
 * counted: what the rest costs depends on the row's length.
 */
export function affineBitsPerWeight({ bits, groupSize, symmetry, scaleType }: AffineSpec): number {
  if (groupSize === 'row') return bits;
  return bits + (8 * scaleWidths[scaleType] + (symmetry === 'symmetric' ? 0 : bits)) / groupSize;
}

function refuseBadSpec({ bits, groupSize }: AffineSpec): void {
  const goodBits = Number.isInteger(bits) && bits >= 1 && bits <= MOST_BITS;
  if (goodBits && (groupSize === 'row' || (Number.isSafeInteger(groupSize) && groupSize >= 1))) return;
  const expected = `codes of 1 to ${MOST_BITS} bits in groups of at least 1 weight, or of a whole row`;
  const found = `${bits} bits in groups of ${groupSize}`;
  throw new BitsmithError('arguments', 'AFFINE_SPEC', `expected ${expected}, found ${found}`, {
    expected,
    found,
  });
}

export function shapeError(expected: string, found: string): BitsmithError {
  return new BitsmithError('validation', 'AFFINE_SHAPE', `expected ${expected}, found ${found}`, {
    expected,
    found,
  });
}
