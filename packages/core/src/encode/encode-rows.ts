/** @file Rows of a stored tensor to rows in another scheme: read, decode to floats, check, encode. */
import { BitsmithError, type ImportanceMatrix, tensorTypes, type TensorType } from '@bitsmith/formats';
import { checkFinite, decodeRows, encodeStoredRows, type Engine, findNonFinite } from '@bitsmith/ggml';
import { type ColumnWeights, columnWeights, vectorOfRow } from '../calibrate/column-weights.js';
import type { StoredTensor, WeightFiles } from '../model/weight-files.js';
import { encodeRows } from './encode-type.js';
import { canBeRounded, roundRows } from './feedback/round-rows.js';
import type { TensorStatistics } from './feedback/rounder.js';
import type { Slab } from './slabs.js';

/** Buffers of one lane, reused from slab to slab. */
export class EncoderLane {
  private readonly engine: Engine;
  private readonly files: WeightFiles;
  private source: Uint8Array = new Uint8Array(0);
  private values: Float32Array = new Float32Array(0);
  private encoded: Uint8Array = new Uint8Array(0);

  constructor(engine: Engine, files: WeightFiles) {
    this.engine = engine;
    this.files = files;
  }

  /**
   * Encodes one slab.
   * @param statistics what codes are chosen by beyond `weights`; null: they are the nearest
   * @returns a view of the slab's bytes in `scheme`, valid until the lane's next slab.
   * @throws BitsmithError `WEIGHT_NOT_FINITE` naming the tensor and the position.
   */
  async encode(
    tensor: StoredTensor,
    slab: Slab,
    scheme: TensorType,
    weights: ColumnWeights | null,
    statistics: TensorStatistics | null = null,
  ): Promise<Uint8Array> {
    const { rows, firstRow } = slab;
    const { rowLength, type } = tensor;
    const bytes = (this.source = grown(this.source, rows * tensor.rowBytes)).subarray(
      0,
      rows * tensor.rowBytes,
    );
    await this.files.readRows(tensor.name, firstRow, bytes);
    if (scheme === type) {
      if (!(await checkFinite(this.engine, type, bytes))) throw notFinite(tensor, slab, bytes);
      return bytes;
    }
    const { blockSize, blockBytes } = tensorTypes[scheme];
    const length = (rowLength / blockSize) * blockBytes * rows;
    const encoded = (this.encoded = grown(this.encoded, length)).subarray(0, length);
    const importance = weights === null ? undefined : vectorOfRow(weights, tensor, firstRow);
    const direct = { type: scheme, stored: { type, bytes }, rows, rowLength, importance };
    const rounding = statistics !== null && canBeRounded(scheme, statistics) ? statistics : null;
    if (rounding === null && (await encodeStoredRows(this.engine, direct, encoded))) return encoded;
    const values = (this.values = grownFloats(this.values, rows * rowLength)).subarray(0, rows * rowLength);
    await decodeRows(this.engine, { type, bytes, rows, rowLength }, values);
    try {
      if (rounding !== null && importance !== undefined) {
        const request = { scheme, values, rows, rowLength, importance };
        encoded.set((await roundRows(this.engine, request, rounding)).bytes as Uint8Array);
      } else await encodeRows(this.engine, { type: scheme, values, rows, rowLength, importance }, encoded);
    } catch (error) {
      // Encoding checks the decoded weights; only here it is known whose they are.
      if (error instanceof BitsmithError && error.code === 'VALUES_NOT_FINITE')
        throw notFinite(tensor, slab, bytes);
      if (isOverflow(error)) throw tooLarge(tensor, slab, scheme);
      throw error;
    }
    return encoded;
  }
}

/** Whether an encoder refused weights because they, or a scale of theirs, are too large for its scheme. */
export function isOverflow(error: unknown): boolean {
  return (
    error instanceof BitsmithError &&
    (error.code === 'VALUES_TOO_LARGE' || error.code === 'ENCODED_NOT_FINITE')
  );
}

function tooLarge(tensor: StoredTensor, { firstRow, rows }: Slab, scheme: TensorType): BitsmithError {
  const pattern = `^${tensor.name.replaceAll('.', String.raw`\.`)}$`;
  return new BitsmithError(
    'validation',
    'WEIGHT_TOO_LARGE',
    `expected weights that ${scheme} can hold in ${tensor.name}, rows ${firstRow} to ${firstRow + rows - 1}, found larger ones`,
    { suggestion: `Keep the tensor as it is stored: --lock '${pattern}=keep'` },
  );
}

function notFinite(tensor: StoredTensor, slab: Slab, bytes: Uint8Array): BitsmithError {
  const where = placeOfNonFinite(tensor, slab, bytes);
  return new BitsmithError(
    'validation',
    'WEIGHT_NOT_FINITE',
    `expected finite weights, found NaN or infinity in ${tensor.name}, ${where}`,
    {
      suggestion:
        'The source is damaged or its training diverged: export it again. Non-finite weights are never written.',
    },
  );
}

/** The importance vectors a scheme needs for a tensor; none for floats. */
export function weightsFor(
  importance: ImportanceMatrix,
  tensor: StoredTensor,
  scheme: TensorType,
): ColumnWeights | null {
  return tensorTypes[scheme].blockSize === 1 ? null : columnWeights(importance, tensor);
}

function grown(buffer: Uint8Array, length: number): Uint8Array {
  return buffer.byteLength >= length ? buffer : new Uint8Array(length);
}

function grownFloats(buffer: Float32Array, length: number): Float32Array {
  return buffer.length >= length ? buffer : new Float32Array(length);
}

/** Row and column where single weights can be told apart, else the rows that were read. */
function placeOfNonFinite(tensor: StoredTensor, { firstRow, rows }: Slab, bytes: Uint8Array): string {
  if (tensor.type !== 'F32' && tensor.type !== 'F16' && tensor.type !== 'BF16') {
    return `rows ${firstRow} to ${firstRow + rows - 1}`;
  }
  const index = findNonFinite(tensor.type, bytes) ?? 0;
  return `row ${firstRow + Math.floor(index / tensor.rowLength)}, column ${index % tensor.rowLength}`;
}
