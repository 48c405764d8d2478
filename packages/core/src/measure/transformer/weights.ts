/**
 * @file A block's weights as floats, both ways round. The arrays stay where they are when the next block's weights come: graphs
 * read them in place.
 */
import { BitsmithError, tensorByteLength } from '@bitsmith/formats';
import { alignedBytes, decodeRows, type Engine } from '@bitsmith/ggml';
import type { StoredTensor, WeightFiles } from '../../model/weight-files.js';
import { inLanes } from '../../run/lanes.js';

/** A matrix: [row length, rows] as stored, and its transpose, [rows, row length], where gradients pass through it. */
export interface WeightArray {
  readonly shape: readonly [rowLength: number, rows: number];
  readonly values: Float32Array;
  readonly transposed: Float32Array | null;
}

/** Rows decoded at once. */
const SLAB_WEIGHTS = 1 << 20;
/** Side of the squares that a transposition moves: both ways of it stay in the processor's cache. */
const TILE = 32;

export function alignedFloats(length: number): Float32Array {
  const bytes = alignedBytes(4 * length);
  return new Float32Array(bytes.buffer, bytes.byteOffset, length);
}

/** Room for a tensor's rows, or for some of them. */
export function weightArray(rowLength: number, rows: number, transposed: boolean): WeightArray {
  return {
    shape: [rowLength, rows],
    values: alignedFloats(rowLength * rows),
    transposed: transposed ? alignedFloats(rowLength * rows) : null,
  };
}

/** Decodes rows of a tensor, from `firstRow`, into its array. */
export async function loadWeights(
  engine: Engine,
  files: WeightFiles,
  tensor: StoredTensor,
  array: WeightArray,
  lanes: number,
  firstRow = 0,
): Promise<void> {
  const [rowLength, rows] = array.shape;
  const slab = Math.max(1, Math.min(rows, Math.floor(SLAB_WEIGHTS / rowLength)));
  const starts = Array.from({ length: Math.ceil(rows / slab) }, (_, index) => index * slab);
  await inLanes(lanes, starts, async (start) => {
    const count = Math.min(slab, rows - start);
    const bytes = new Uint8Array(tensorByteLength(tensor.type, [rowLength, count]));
    await files.readRows(tensor.name, firstRow + start, bytes);
    const target = array.values.subarray(start * rowLength, (start + count) * rowLength);
    await decodeRows(engine, { type: tensor.type, bytes, rows: count, rowLength }, target);
  });
  if (array.transposed !== null) transpose(array.values, array.transposed, rowLength, rows);
}

/** A small tensor (a norm's gains, a bias) as floats. */
export async function loadVector(engine: Engine, files: WeightFiles, name: string): Promise<Float32Array> {
  const tensor = files.tensor(name);
  const values = alignedFloats(tensor.rowLength * tensor.rows);
  const bytes = new Uint8Array(tensor.byteLength);
  await files.readRows(name, 0, bytes);
  await decodeRows(
    engine,
    { type: tensor.type, bytes, rows: tensor.rows, rowLength: tensor.rowLength },
    values,
  );
  return values;
}

/** @throws BitsmithError `GRAPH_SHAPE` */
export function assertShape(tensor: StoredTensor, rowLength: number, rows: number): void {
  if (tensor.rowLength === rowLength && tensor.rows === rows) return;
  throw new BitsmithError(
    'validation',
    'GRAPH_SHAPE',
    `expected ${tensor.name} to be ${rowLength} x ${rows}, found ${tensor.rowLength} x ${tensor.rows}`,
    { suggestion: 'The metadata of the file do not describe its tensors.' },
  );
}

function transpose(from: Float32Array, to: Float32Array, columns: number, rows: number): void {
  for (let row = 0; row < rows; row += TILE) {
    const rowEnd = Math.min(rows, row + TILE);
    for (let column = 0; column < columns; column += TILE) {
      const columnEnd = Math.min(columns, column + TILE);
      for (let i = row; i < rowEnd; i++)
        for (let j = column; j < columnEnd; j++) to[j * rows + i] = from[i * columns + j];
    }
  }
}
