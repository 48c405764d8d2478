/**
 * @file The points of the grids that ggml's low i-quants name, learned from its own decoder: blocks that name every point decode to
 * them. So no grid is stored here, and none can differ from the one that decoders use.
 */
import { gridBlock, type GridFormat, type TensorType } from '@bitsmith/formats';
import { decodeRows, type Engine } from '@bitsmith/ggml';

const known = new Map<TensorType, Promise<Float32Array>>();

/** Magnitudes at the least scale: [dimensions, grid size], shared with other threads. */
export function gridPoints(engine: Engine, type: TensorType, format: GridFormat): Promise<Float32Array> {
  const points = known.get(type) ?? learned(engine, type, format);
  known.set(type, points);
  return points;
}

async function learned(engine: Engine, type: TensorType, format: GridFormat): Promise<Float32Array> {
  const { dimensions, gridSize, blockSize, blockBytes } = format;
  const rowLength = gridSize * dimensions;
  const block = gridBlock(format);
  block.scale = 1;
  const bytes = new Uint8Array(blockBytes * (rowLength / blockSize));
  for (let index = 0; index < rowLength / blockSize; index++) {
    block.points.forEach((_, point) => (block.points[point] = index * block.points.length + point));
    format.close(block, bytes, index * blockBytes);
  }
  const points = new Float32Array(new SharedArrayBuffer(4 * rowLength));
  await decodeRows(engine, { type, bytes, rows: 1, rowLength }, points);
  return points;
}
