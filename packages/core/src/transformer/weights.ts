/**
 * @file A block's weights as floats, both ways round. The arrays stay where they are when the next block's weights come: graphs
 * read them in place.
 */
import { BitsmithError, tensorByteLength } from '@bitsmith/formats';
import { alignedFloats, decodeRows, type Engine } from '@bitsmith/ggml';
import type { StoredTensor, WeightFiles } from '../model/weight-files.js';
import { inLanes } from '../run/lanes.js';

/** A matrix: [row length, rows] as stored, and its transpose, [rows, row length], where gradients pass through it. */
export interface WeightArray {
  readonly shape: readonly [rowLength: number, rows: number];
  readonly values: Float32Array;
  readonly transposed: Float32Array | null;
}

/** Rows decoded at once. */
const SLAB_WEIGHTS = 1 << 20;
/** What a lane's buffer of stored rows takes at the most. */
export const STAGING_BYTES = 4 * SLAB_WEIGHTS;
/** Side of the squares that a transposition moves: both ways of it stay in the processor's cache. */
const TILE = 32;

/** Stored rows on their way, a buffer a lane: used again as long as the files are open, since garbage of them adds up. */
const stagingBuffers = new WeakMap<WeightFiles, Uint8Array[]>();

function buffersOf(files: WeightFiles): Uint8Array[] {
  const known = stagingBuffers.get(files);
  if (known !== undefined) return known;
  const buffers: Uint8Array[] = [];
  stagingBuffers.set(files, buffers);
  return buffers;
}

function takeBuffer(buffers: Uint8Array[], byteLength: number): Uint8Array {
  const free = buffers.pop();
  return free !== undefined && free.length >= byteLength ? free : new Uint8Array(byteLength);
}

/** Room for a tensor's rows, or for some of them. */
export function weightArray(rowLength: number, rows: number, transposed: boolean): WeightArray {
  return {
    shape: [rowLength, rows],
    values: alignedFloats(rowLength * rows),
    transposed: transposed ? alignedFloats(rowLength * rows) : null,
  };
}

/** Decodes rows of a tensor, from `firstRow`, into its array; not into its transpose. */
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
  const buffers = buffersOf(files);
  await inLanes(lanes, starts, async (start) => {
    const count = Math.min(slab, rows - start);
    const byteLength = tensorByteLength(tensor.type, [rowLength, count]);
    const buffer = takeBuffer(buffers, byteLength);
    const bytes = buffer.subarray(0, byteLength);
    await files.readRows(tensor.name, firstRow + start, bytes);
    const target = array.values.subarray(start * rowLength, (start + count) * rowLength);
    await decodeRows(engine, { type: tensor.type, bytes, rows: count, rowLength }, target);
    buffers.push(buffer);
  });
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

/** Fills an array's transpose, if it has one, from its rows. */
export function fillTranspose({ shape, values: from, transposed: to }: WeightArray): void {
  const [columns, rows] = shape;
  if (to === null) return;
  for (let row = 0; row < rows; row += TILE) {
    const rowEnd = Math.min(rows, row + TILE);
    for (let column = 0; column < columns; column += TILE) {
      const columnEnd = Math.min(columns, column + TILE);
      for (let i = row; i < rowEnd; i++)
        for (let j = column; j < columnEnd; j++) to[j * rows + i] = from[i * columns + j];
    }
  }
}
