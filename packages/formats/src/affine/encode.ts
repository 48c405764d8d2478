/**
 * @file Rows to affine codes. Of a group, lo = min(0, min w) and hi = max(0, max w), so that zero is always a code; scale =
 * (hi - lo) / (2^b - 1), stored as the smallest number of its type that is not below, so that the range stays covered; zero =
 * round(-lo / scale); code = clamp(round(w / scale) + zero, 0, 2^b - 1). Halves round to even. The error of a weight is then at
 * most half a scale, single-sign groups included, and a group of zeros has scale 0. Symmetric groups have lo = -hi and zero 2^(b - 1).
 * With importance the range is searched instead (`search.ts`), never for a larger weighted error.
 */
import { BitsmithError } from '../errors.js';
import { encodeF16 } from '../float/encode.js';
import { packCodes } from './bit-stream.js';
import { type AffineRow, affineRow, shapeError } from './geometry.js';
import { coveringScale, ROUND_TO_INTEGER } from './scale.js';
import { type Fit, searchRange } from './search.js';
import type { AffineInput, AffineSpec, AffineTensor } from './types.js';

/**
 * Encodes rows; each row, and each group of it, by itself.
 * @throws BitsmithError `AFFINE_SPEC`; `AFFINE_SHAPE` when values or importance have another length than the shape;
 *   `VALUES_NOT_FINITE` and `VALUES_TOO_LARGE` naming row and column; `IMPORTANCE_INVALID`
 */
export function encodeAffine(input: AffineInput, spec: AffineSpec): AffineTensor {
  const { values, rows, rowLength, importance } = input;
  const row = affineRow(spec, rowLength);
  refuseBadInput(input);
  const data = new Uint8Array(rows * row.dataBytes);
  const zeroPoints = new Uint8Array(rows * row.zeroPointBytes);
  const scales = new Float32Array(rows * row.groups);
  const codes = new Uint8Array(rowLength);
  const zeros = new Uint8Array(row.groups);
  for (let index = 0; index < rows; index++) {
    const rowScales = scales.subarray(index * row.groups, (index + 1) * row.groups);
    encodeRow(values, index * rowLength, importance, spec, row, { codes, zeros, scales: rowScales });
    packCodes(codes, rowLength, spec.bits, data, index * row.dataBytes);
    if (row.zeroPointBytes > 0)
      packCodes(zeros, row.groups, spec.bits, zeroPoints, index * row.zeroPointBytes);
  }
  const stored = spec.scaleType === 'F16' ? encodeF16(scales) : scales;
  return { spec, rows, rowLength, data, scales: stored, zeroPoints };
}

/** What a row becomes. */
interface RowTarget {
  readonly codes: Uint8Array;
  readonly zeros: Uint8Array;
  readonly scales: Float32Array;
}

function encodeRow(
  values: Float32Array,
  start: number,
  importance: Float32Array | undefined,
  spec: AffineSpec,
  { groups, groupSize }: AffineRow,
  { codes, zeros, scales }: RowTarget,
): void {
  const rowLength = codes.length;
  const fit: Fit = { scale: 0, zero: 0 };
  for (let group = 0; group < groups; group++) {
    const column = group * groupSize;
    const count = Math.min(groupSize, rowLength - column);
    fitGroup(values, start, column, count, importance, spec, fit, rowLength);
    scales[group] = fit.scale;
    zeros[group] = fit.zero;
    writeCodes(values, start + column, count, fit, spec.bits, codes, column);
  }
}

/** Finds scale and zero point of a group. */
function fitGroup(
  values: Float32Array,
  start: number,
  column: number,
  count: number,
  importance: Float32Array | undefined,
  spec: AffineSpec,
  fit: Fit,
  rowLength: number,
): void {
  const { bits, symmetry, scaleType } = spec;
  const first = start + column;
  let lo = 0;
  let hi = 0;
  // Stays 0 as long as everything is finite.
  let finite = 0;
  for (let index = first; index < first + count; index++) {
    const value = values[index];
    finite += value - value;
    if (value < lo) lo = value;
    if (value > hi) hi = value;
  }
  if (finite !== 0) throw notFinite(values, first, rowLength);
  const symmetric = symmetry === 'symmetric';
  const top = (1 << bits) - 1;
  const range = symmetric ? 2 * Math.max(hi, -lo) : hi - lo;
  fit.scale = range === 0 ? 0 : coveringScale(range / top, scaleType);
  if (fit.scale === Infinity || !Number.isFinite(Math.fround(fit.scale * top)))
    throw tooLarge(start, rowLength, column, range / top, scaleType);
  fit.zero = symmetric ? 1 << (bits - 1) : zeroOf(lo, fit.scale);
  if (importance === undefined || range === 0) return;
  const group = { values, start: first, count, weights: importance, firstColumn: column };
  searchRange(group, spec, lo, hi, fit);
}

function zeroOf(lo: number, scale: number): number {
  return scale === 0 ? 0 : -lo / scale + ROUND_TO_INTEGER - ROUND_TO_INTEGER;
}

function writeCodes(
  values: Float32Array,
  first: number,
  count: number,
  { scale, zero }: Fit,
  bits: number,
  codes: Uint8Array,
  column: number,
): void {
  if (scale === 0) {
    codes.fill(zero, column, column + count);
    return;
  }
  const top = (1 << bits) - 1;
  for (let index = 0; index < count; index++) {
    let code = values[first + index] / scale + ROUND_TO_INTEGER - ROUND_TO_INTEGER + zero;
    if (code > top) code = top;
    else if (code < 0) code = 0;
    codes[column + index] = code;
  }
}

function refuseBadInput({ values, rows, rowLength, importance }: AffineInput): void {
  if (!Number.isSafeInteger(rows) || rows < 0 || values.length !== rows * rowLength) {
    throw shapeError(`${rows} x ${rowLength} values`, `${values.length}`);
  }
  if (importance === undefined) return;
  if (importance.length !== rowLength) {
    throw shapeError(`importance of ${rowLength} columns`, `${importance.length}`);
  }
  const bad = importance.findIndex((weight) => !(weight >= 0 && weight < Infinity));
  if (bad < 0) return;
  throw new BitsmithError(
    'validation',
    'IMPORTANCE_INVALID',
    `expected importance weights that are finite and not negative, found ${importance[bad]} at column ${bad}`,
    { suggestion: 'The importance matrix is damaged: make it again.' },
  );
}

function notFinite(values: Float32Array, first: number, rowLength: number): BitsmithError {
  let at = first;
  while (Number.isFinite(values[at])) at++;
  const where = `row ${Math.floor(at / rowLength)}, column ${at % rowLength}`;
  return new BitsmithError(
    'validation',
    'VALUES_NOT_FINITE',
    `expected finite weights, found ${values[at]} at ${where}`,
    { suggestion: 'The source model is damaged or overflowed in training: get another copy.' },
  );
}

function tooLarge(
  start: number,
  rowLength: number,
  column: number,
  scale: number,
  scaleType: string,
): BitsmithError {
  const where = `row ${Math.floor(start / rowLength)}, column ${column}`;
  return new BitsmithError(
    'validation',
    'VALUES_TOO_LARGE',
    `expected a scale that ${scaleType} can hold, found ${scale} for the group from ${where} on`,
    { suggestion: 'Keep this tensor in F32 or BF16: its weights are too large.' },
  );
}
