/**
 * @file A tensor as slabs of whole rows: the unit that is read, encoded and written at once. Slabs never cross a matrix
 * (expert), since each has its own importance vector, and their cut does not change a byte: rows are encoded alone.
 */

/** Weights that an encoder's lane holds at once: large enough to hide the call, small enough to stay near the cache. */
export const SLAB_WEIGHTS = 1 << 19;

/** Rows of one matrix of a tensor. */
export interface Slab {
  readonly firstRow: number;
  readonly rows: number;
}

/** Cuts `matrices` matrices of `rowsPerMatrix` rows into slabs of about `slabWeights` weights. */
export function cutIntoSlabs(
  tensor: { rowLength: number; rows: number; rowsPerMatrix: number },
  slabWeights: number,
): Slab[] {
  const { rowLength, rows, rowsPerMatrix } = tensor;
  const rowsPerSlab = Math.max(1, Math.floor(slabWeights / rowLength));
  const slabs: Slab[] = [];
  for (let matrix = 0; matrix < rows; matrix += rowsPerMatrix) {
    for (let row = 0; row < rowsPerMatrix; row += rowsPerSlab) {
      slabs.push({ firstRow: matrix + row, rows: Math.min(rowsPerSlab, rowsPerMatrix - row) });
    }
  }
  return slabs;
}
