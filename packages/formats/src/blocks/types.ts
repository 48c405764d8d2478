/**
 * @file ggml's linear block types, opened: weight = (level of its code) x (scale of its group) + (offset of its group), with the scale
 * an integer code times the block's own half float, or that half float itself. What is opened can be changed and closed again.
 */

/** Weights of one row that lie side by side, opened. Arrays are as long as the span has weights, groups and blocks. */
export interface OpenSpan {
  /** One a weight. */
  readonly codes: Uint8Array;
  /** One a group: the integer that its block's scale is multiplied with; 1 where the type stores none. */
  readonly scaleCodes: Int16Array;
  /** The same for the block's minimum. */
  readonly minimumCodes: Uint8Array;
  /** One a block, exact in a half float. */
  readonly scales: Float64Array;
  /** One a block; 0 where the type has none. */
  readonly minimums: Float64Array;
}

/** How one of ggml's types stores a block. */
export interface BlockFormat {
  readonly blockSize: number;
  readonly blockBytes: number;
  /** Weights that share a scale code. */
  readonly groupSize: number;
  /** Of every code, ascending. */
  readonly levels: Float64Array;
  /** What scale codes may be; null where a block has one scale and no codes. */
  readonly scaleCodes: CodeRange | null;
  /** What minimum codes may be; null where a block has one minimum and no codes, or no minimum. */
  readonly minimumCodes: CodeRange | null;
  /** A group's offset is this times its minimum: -1 (subtracted), 1 (added) or 0 (the type has none). */
  readonly minimumSign: -1 | 0 | 1;
  /** Reads block `index` of the span from the bytes at `at`. */
  open(bytes: Uint8Array, at: number, span: OpenSpan, index: number): void;
  /** Writes block `index` of the span over the bytes at `at`. */
  close(span: OpenSpan, index: number, bytes: Uint8Array, at: number): void;
}

export interface CodeRange {
  readonly least: number;
  readonly most: number;
}

/** Room for a span of whole blocks. */
export function openSpan({ groupSize, blockSize }: BlockFormat, weights: number): OpenSpan {
  const groups = weights / groupSize;
  const blocks = weights / blockSize;
  return {
    codes: new Uint8Array(weights),
    scaleCodes: new Int16Array(groups).fill(1),
    minimumCodes: new Uint8Array(groups).fill(1),
    scales: new Float64Array(blocks),
    minimums: new Float64Array(blocks),
  };
}

/** -n/2 to n/2 - 1, or 0 to n - 1. */
export function levelsOf(count: number, first: number): Float64Array {
  return Float64Array.from({ length: count }, (_, code) => code + first);
}
