/** @file What Gram matrices take, told by a model's shapes and the length of the text that they are measured on. */
import type { SourceModel } from '../../model/types.js';
import { MATRICES_AT_ONCE } from './encode-memory.js';

const FLOAT_BYTES = 4;
/** Of an entry below the diagonal, which stands for two. */
const CORRELATION_BYTES = 2;
/** One that codes are chosen by, one that they are checked by. */
const TEXTS = 2;

/** Streams before every block that are kept in memory while matrices are measured. */
export const KEPT_STREAMS_BYTES = 256 * 2 ** 20;

/** Streams before every block. */
export function streamBytes(width: number, blocks: number, positions: number): number {
  return FLOAT_BYTES * width * blocks * positions;
}

export interface GramSizes {
  /** All matrices, in the store. */
  readonly storedBytes: number;
  /** Streams, on disk while matrices are measured. */
  readonly scratchBytes: number;
  /** The widest matrix on its way to its factor, in memory. */
  readonly factorBytes: number;
}

/** @param positions of the longer of the two texts */
export function gramSizes({ tensors }: Pick<SourceModel, 'tensors'>, positions: number): GramSizes {
  const widths = new Map<string, number>();
  let [blocks, stream] = [0, 0];
  for (const { shape, role, block } of tensors) {
    if (shape.length < 2) continue;
    widths.set(`${block} ${inputOf(role)}`, shape[0]);
    if (block === undefined || block === null) continue;
    blocks = Math.max(blocks, block + 1);
    if (inputOf(role) === 'attention') stream = Math.max(stream, shape[0]);
  }
  const all = [...widths.values()];
  const streams = streamBytes(stream, blocks, positions);
  return {
    storedBytes: TEXTS * all.reduce((sum, width) => sum + packedBytes(width), 0),
    scratchBytes: streams > KEPT_STREAMS_BYTES ? streams : 0,
    factorBytes: MATRICES_AT_ONCE * FLOAT_BYTES * Math.max(0, ...all) ** 2,
  };
}

/** Correlations below the diagonal and on it, and the diagonal. */
function packedBytes(width: number): number {
  return (CORRELATION_BYTES * width * (width + 1)) / 2 + FLOAT_BYTES * width;
}

/** Matrices that read the same input share its statistics. */
function inputOf(role: string): string {
  if (/^attention-(q|k|v|qkv)$/.test(role)) return 'attention';
  return /^mlp-(gate|up)$/.test(role) ? 'mlp' : role;
}
