/** @file What Gram matrices take, told by a model's shapes and the length of the text that they are measured on. */
import type { SourceModel } from '../model/types.js';
import { KEPT_STREAMS_BYTES, streamBytes } from '../transformer/activations.js';
import { gramOf } from './gram.js';

const FLOAT_BYTES = 4;
/** Of an entry below the diagonal, which stands for two. */
const CORRELATION_BYTES = 2;
/** One that codes are chosen by, one that they are checked by. */
const TEXTS = 2;

/** Squares of the width, in floats: half a matrix each that codes are chosen by and checked by. */
const KEPT = 0.5 + 0.5;
/** The next tensor's are made while the last one's are still needed. */
export const MATRICES_AT_ONCE = 2 * KEPT;
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
  for (const { name, shape } of tensors) {
    const gram = gramOf(name);
    if (gram === null) continue;
    widths.set(gram.name, shape[0]);
    if (gram.block === null) stream = shape[0];
    else blocks = Math.max(blocks, gram.block + 1);
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
