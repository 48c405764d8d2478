/**
 * @file Scales folded into weights: columns of what reads a channel are multiplied, what produces it is divided. All that
 * happens to a tensor is a factor a column and a factor a row.
 */
import type { Site } from './sites.js';

/** What a tensor is multiplied with; null: nothing. Vectors are one row. */
export interface TensorFactors {
  columns: Float32Array | null;
  rows: Float32Array | null;
}

/** The factors of every tensor that changes. @param rowsOf rows of a matrix */
export function foldedFactors(
  sites: readonly Site[],
  scales: readonly Float32Array[],
  rowsOf: (tensor: string) => number,
): Map<string, TensorFactors> {
  const factors = new Map<string, TensorFactors>();
  const of = (tensor: string): TensorFactors => {
    const known = factors.get(tensor) ?? { columns: null, rows: null };
    factors.set(tensor, known);
    return known;
  };
  sites.forEach((site, index) => {
    const own = scales[index];
    if (own.every((scale) => scale === 1)) return;
    const inverse = own.map((scale) => 1 / scale);
    for (const reader of site.readers) of(reader).columns = columnScales(site, own);
    const { producer } = site;
    if (producer.kind === 'norm') {
      of(producer.tensor).columns = inverse;
      return;
    }
    const rows = new Float32Array(rowsOf(producer.tensor)).fill(1);
    rows.set(inverse, producer.firstRow);
    of(producer.tensor).rows = rows;
    if (producer.bias !== null) of(producer.bias).columns = rows;
  });
  return factors;
}

/** The scale of every column of what reads a site. */
export function columnScales({ channelOf }: Pick<Site, 'channelOf'>, scales: Float32Array): Float32Array {
  return Float32Array.from(channelOf, (channel) => scales[channel]);
}

/** Multiplies rows of a tensor from `firstRow` on, in place. */
export function applyFactors(
  values: Float32Array,
  rowLength: number,
  { columns, rows }: TensorFactors,
  firstRow = 0,
): void {
  for (let start = 0, row = firstRow; start < values.length; start += rowLength, row++) {
    const factor = rows?.[row] ?? 1;
    for (let column = 0; column < rowLength; column++)
      values[start + column] *= factor * (columns?.[column] ?? 1);
  }
}
