/**
 * @file The equally spaced levels that a scheme offers the weights of a group: w' = scale code + offset. What is learned of a group is how far
 * the ends of its range move, as factors of where they stood; what it gets is what the scheme can store nearest to that.
 *
 * Three kinds of offsets: `centred` ones follow from the scale, `zero-point` ones are an integer code times the scale, `minimum` ones
 * are stored by themselves.
 */

/** How an offset is tied to its scale. */
export type OffsetKind =
  | { readonly kind: 'centred'; readonly zero: number }
  | { readonly kind: 'zero-point' }
  | { readonly kind: 'minimum' };

export interface GridShape {
  readonly rows: number;
  readonly rowLength: number;
  /** Weights along a row that share a scale; the last group of a row may have fewer. */
  readonly groupSize: number;
  /** The largest code; the smallest is 0. */
  readonly top: number;
  readonly offset: OffsetKind;
}

/** What is stored of a matrix, by part: bytes of blocks, or codes, scales and zero points. */
export type StoredParts = Readonly<Record<string, Uint8Array>>;

/** Derivatives of the loss by a group's two factors. */
export interface RangeSlopes {
  high: number;
  low: number;
}

export abstract class LevelGrid implements GridShape {
  readonly rows: number;
  readonly rowLength: number;
  readonly groupSize: number;
  readonly top: number;
  readonly offset: OffsetKind;
  readonly groupsPerRow: number;
  /** One a weight; what `parts` stores. */
  readonly codes: Uint8Array;
  /** One a group, as stored. */
  readonly scales: Float64Array;
  readonly offsets: Float64Array;
  private readonly startScales: Float64Array;
  private readonly startOffsets: Float64Array;

  protected constructor(
    { rows, rowLength, groupSize, top, offset }: GridShape,
    codes: Uint8Array,
    scales: Float64Array,
    offsets: Float64Array,
  ) {
    this.rows = rows;
    this.rowLength = rowLength;
    this.groupSize = groupSize;
    this.top = top;
    this.offset = offset;
    this.groupsPerRow = Math.ceil(rowLength / groupSize);
    this.codes = codes;
    this.scales = scales;
    this.offsets = offsets;
    this.startScales = scales.slice();
    this.startOffsets = offsets.slice();
  }

  /** The storable scale of a group nearest to the wish. */
  protected abstract scaleNear(group: number, wish: number): number;

  /** The storable minimum of a group nearest to the wish. */
  protected abstract offsetNear(group: number, wish: number): number;

  /** Codes with the scales and offsets that stand, as the scheme stores them. */
  abstract parts(): StoredParts;

  /** Scales and offsets for ranges that end at these factors of where they ended at first. */
  stretch(high: Float32Array, low: Float32Array): void {
    const { scales, offsets, startScales, offset, top } = this;
    for (let group = 0; group < scales.length; group++) {
      if (startScales[group] === 0) continue;
      const bottom = low[group] * this.startOffsets[group];
      const wish = (high[group] * this.highEnd(group) - bottom) / top;
      if (offset.kind === 'centred') {
        scales[group] = this.scaleNear(group, high[group] * startScales[group]);
        offsets[group] = -offset.zero * scales[group];
      } else if (offset.kind === 'minimum') {
        scales[group] = this.scaleNear(group, wish);
        offsets[group] = this.offsetNear(group, bottom);
      } else {
        scales[group] = this.scaleNear(group, wish);
        offsets[group] = -this.zeroNear(bottom, scales[group]) * scales[group];
      }
    }
  }

  /**
   * The chain from a group's scale and offset to its two factors, where rounding to what can be stored counts as none.
   * @param low the factor that stands
   */
  slopes(group: number, byScale: number, byOffset: number, low: number, into: RangeSlopes): void {
    const { scales, offsets, startOffsets, startScales, offset, top } = this;
    if (offset.kind === 'centred') {
      into.high = (byScale - offset.zero * byOffset) * startScales[group];
      into.low = 0;
      return;
    }
    const start = startOffsets[group];
    // A zero point is rounded from an offset over a scale: of the scale's derivative what rounding left over stays.
    const pulled =
      offset.kind === 'minimum' || scales[group] === 0 ? 0 : (offsets[group] - low * start) / scales[group];
    const whole = byScale + byOffset * pulled;
    into.high = (whole * this.highEnd(group)) / top;
    into.low = (byOffset - whole / top) * start;
  }

  /** The zero point nearest to an offset. */
  private zeroNear(bottom: number, scale: number): number {
    return scale === 0 ? 0 : Math.min(this.top, Math.max(0, roundToEven(-bottom / scale)));
  }

  private highEnd(group: number): number {
    return this.startOffsets[group] + this.top * this.startScales[group];
  }
}

/** Added and taken away again, leaves whole numbers, ties to even, of anything below 2^51. */
export const ROUND_TO_INTEGER = 1.5 * 2 ** 52;

function roundToEven(value: number): number {
  return value + ROUND_TO_INTEGER - ROUND_TO_INTEGER;
}
