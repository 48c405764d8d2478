/**
 * @file Affine quantization: every group of a row has a scale and an integer zero point, and a weight is
 * w' = (code - zero) scale. The form that GPTQ, AWQ, MLX and compressed-tensors all store, each in an order of its own.
 */

/** How the weights of a row are coded. */
export interface AffineSpec {
  /** Bits of a code, 1 to 8. */
  readonly bits: number;
  /** Weights along the input axis that share a scale; the last group of a row may be shorter. `row`: one group a row. */
  readonly groupSize: number | 'row';
  /** Symmetric: every zero point is 2^(bits - 1), and none is stored. */
  readonly symmetry: 'symmetric' | 'asymmetric';
  readonly scaleType: ScaleType;
}

export type ScaleType = 'F16' | 'F32';

/** Encoded rows: three arrays whose bytes are what the spec costs, `affineByteLength`. */
export interface AffineTensor {
  readonly spec: AffineSpec;
  readonly rows: number;
  readonly rowLength: number;
  /** Codes as a little-endian bit stream, each row from a whole byte on. */
  readonly data: Uint8Array;
  /** One a group, row by row: bits of half floats, or floats. */
  readonly scales: Uint16Array | Float32Array;
  /** One a group, `bits` wide, as a little-endian bit stream, each row from a whole byte on. Empty where symmetric. */
  readonly zeroPoints: Uint8Array;
}

/** Rows to be encoded. */
export interface AffineInput {
  /** `rows` x `rowLength`, row by row; all finite. */
  readonly values: Float32Array;
  readonly rows: number;
  readonly rowLength: number;
  /**
   * What a squared error in each column weighs: finite, not negative. Given, ranges are searched for the least weighted error;
   * left out, every group covers its whole range.
   */
  readonly importance?: Float32Array;
}
