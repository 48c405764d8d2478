/** @file What Gram matrices take, told by a model's shapes. */
import type { SourceModel } from '../../model/types.js';
import { MATRICES_AT_ONCE } from './encode-memory.js';

const FLOAT_BYTES = 4;
/** One that codes are chosen by, one that they are checked by. */
const TEXTS = 2;

/** Bytes of all matrices in the store, and of the widest on its way to its factor. */
export function gramSizes({ tensors }: Pick<SourceModel, 'tensors'>): {
  readonly diskBytes: number;
  readonly factorBytes: number;
} {
  const squares = new Map<string, number>();
  for (const { shape, role, block } of tensors) {
    if (shape.length < 2) continue;
    squares.set(`${block} ${inputOf(role)}`, shape[0] ** 2);
  }
  const all = [...squares.values()];
  return {
    diskBytes: TEXTS * FLOAT_BYTES * all.reduce((sum, square) => sum + square, 0),
    factorBytes: MATRICES_AT_ONCE * FLOAT_BYTES * Math.max(0, ...all),
  };
}

/** Matrices that read the same input share its statistics. */
function inputOf(role: string): string {
  if (/^attention-(q|k|v|qkv)$/.test(role)) return 'attention';
  return /^mlp-(gate|up)$/.test(role) ? 'mlp' : role;
}
