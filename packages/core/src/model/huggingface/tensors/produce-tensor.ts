/**
 * @file Streams one converted tensor: slabs of rows are read, reordered, shifted and stored in the output type, so that memory holds a
 * few mebibytes whatever the tensor's size.
 */
import { type ByteSink, decodeFloats, encodeFloats, floatDtypes } from '@bitsmith/formats';
import type { PlannedTensor } from './plan-tensors.js';

const SLAB_BYTES = 4 * 1024 * 1024;

export async function produceTensor(
  planned: PlannedTensor,
  sink: ByteSink,
  signal?: AbortSignal,
): Promise<void> {
  const { spec, source, change } = planned;
  const rows = spec.shape.at(-1) ?? 1;
  const rowElements = spec.shape.slice(0, -1).reduce((product, extent) => product * extent, 1);
  const rowBytes = rowElements * floatDtypes[source.dtype];
  const group = change?.kind === 'weave-heads' ? rows / change.heads : 1;
  const slabRows = Math.max(1, Math.floor(SLAB_BYTES / (rowBytes * group))) * group;
  const slab = new Uint8Array(Math.min(slabRows, rows) * rowBytes);
  const woven = change?.kind === 'weave-heads' ? new Uint8Array(slab.byteLength) : undefined;
  for (let row = 0; row < rows; row += slabRows) {
    signal?.throwIfAborted();
    const length = Math.min(slabRows, rows - row) * rowBytes;
    const read = slab.subarray(0, length);
    await source.source.readInto(read, source.offset + row * rowBytes, signal);
    const ordered = woven === undefined ? read : weaveHeads(read, woven.subarray(0, length), rowBytes, group);
    await sink.write(stored(planned, ordered), signal);
  }
}

/**
 * Undoes the layout of transformers' rotary embedding: rows `i` and `i + half` of a head, which rotate together, become rows
 * `2 i` and `2 i + 1`.
 */
export function weaveHeads(
  rows: Uint8Array,
  target: Uint8Array,
  rowBytes: number,
  headRows: number,
): Uint8Array {
  const half = headRows / 2;
  for (let head = 0; head < rows.byteLength; head += headRows * rowBytes) {
    for (let index = 0; index < headRows; index += 1) {
      const from = head + ((index % 2) * half + Math.floor(index / 2)) * rowBytes;
      target.set(rows.subarray(from, from + rowBytes), head + index * rowBytes);
    }
  }
  return target;
}

function stored({ spec, source, change }: PlannedTensor, bytes: Uint8Array): Uint8Array {
  const shifts = change?.kind === 'add-one';
  if (source.dtype === spec.type && !shifts) return bytes;
  const values = decodeFloats(source.dtype, bytes);
  if (!shifts) return encodeFloats(spec.type, values);
  for (let index = 0; index < values.length; index += 1) values[index] += 1;
  // The sum is taken in the precision of the source where that is F16, as PyTorch does; all others are summed in float32.
  const summed = source.dtype === 'F16' ? decodeFloats('F16', encodeFloats('F16', values)) : values;
  return encodeFloats(spec.type, summed);
}
