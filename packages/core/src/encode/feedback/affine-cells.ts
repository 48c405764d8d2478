/**
 * @file Spans of affine groups: a scale of its own each, and a zero point where the spec stores one. Where a whole row is one group,
 * its numbers are those of the row, and only codes are a span's to choose.
 */
import {
  type AffineTensor,
  affineRow,
  decodeF16,
  encodeF16,
  packCodes,
  unpackCodes,
} from '@bitsmith/formats';
import { Cells } from './cells.js';
import { nearestHalf } from './half-float.js';

/** One a row. */
export interface RowNumbers {
  readonly scales: Float64Array;
  readonly zeros: Float64Array;
}

export class AffineCells extends Cells {
  readonly hasOffset = false;
  readonly mostZero: number | null;
  readonly shared = [];
  private readonly tensor: AffineTensor;
  private readonly row: ReturnType<typeof affineRow>;
  private readonly zeros: Uint8Array;
  private readonly nearest: (wish: number) => number;

  private readonly ofRows: RowNumbers | null;

  /**
   * @param tensor rows that are spans
   * @param ofRows scale and zero point of every row, where they are given
   */
  constructor(tensor: AffineTensor, ofRows: RowNumbers | null) {
    const { spec, rowLength } = tensor;
    const row = affineRow(spec, rowLength);
    const levels = Float64Array.from({ length: 2 ** spec.bits }, (_, code) => code);
    super(rowLength, row.groupSize, levels, new Uint8Array(rowLength));
    this.tensor = tensor;
    this.row = row;
    this.zeros = new Uint8Array(row.groups).fill(2 ** (spec.bits - 1));
    this.ofRows = ofRows;
    this.mostZero = spec.symmetry === 'symmetric' || ofRows !== null ? null : levels.length - 1;
    this.nearest = spec.scaleType === 'F16' ? nearestHalf : Math.fround;
  }

  open(index: number): void {
    const { tensor, row, zeros, ofRows } = this;
    const { spec, rowLength, data, zeroPoints } = tensor;
    unpackCodes(data, index * row.dataBytes, rowLength, spec.bits, this.codes);
    if (row.zeroPointBytes > 0)
      unpackCodes(zeroPoints, index * row.zeroPointBytes, row.groups, spec.bits, zeros);
    const scales = tensor.scales.subarray(index * row.groups, (index + 1) * row.groups);
    this.scale.set(scales instanceof Uint16Array ? decodeF16(scales) : scales);
    this.zero.set(zeros);
    if (ofRows === null) return;
    this.scale[0] = ofRows.scales[index];
    this.zero[0] = ofRows.zeros[index];
  }

  close(index: number): void {
    const { tensor, row, zeros } = this;
    const { spec, rowLength, data, zeroPoints } = tensor;
    packCodes(this.codes, rowLength, spec.bits, data, index * row.dataBytes);
    zeros.set(this.zero);
    if (row.zeroPointBytes > 0)
      packCodes(zeros, row.groups, spec.bits, zeroPoints, index * row.zeroPointBytes);
    const scales = Float32Array.from(this.scale);
    if (tensor.scales instanceof Uint16Array) tensor.scales.set(encodeF16(scales), index * row.groups);
    else tensor.scales.set(scales, index * row.groups);
  }

  scaleNear(group: number, wish: number): number {
    return this.ofRows === null ? this.nearest(wish) : this.scale[group];
  }

  offsetNear(): number {
    return 0;
  }
}
