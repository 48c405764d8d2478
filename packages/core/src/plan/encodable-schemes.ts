/** @file Which schemes are worth encoding rows into: those that store them in less. */
import type { TensorType } from '@bitsmith/formats';
import { schemeByteLength } from './bytes.js';
import { type CatalogueScheme, ggufSchemes, legalSchemes, type SchemeId } from './schemes.js';

/**
 * Those of `among` worth encoding rows of this many weights into, cheapest first.
 * @param stored the type the rows are stored in: schemes that take no less room are left out, since keeping costs nothing
 */
export function encodableSchemes(
  rowLength: number,
  stored: TensorType = 'F32',
  among: readonly CatalogueScheme[] = ggufSchemes,
): readonly SchemeId[] {
  const bytesOf = ({ id }: CatalogueScheme): number => schemeByteLength(id, [rowLength]);
  const most = schemeByteLength(stored, [rowLength]);
  return legalSchemes(rowLength, among)
    .filter((scheme) => bytesOf(scheme) < most && !isWholeRow(scheme, rowLength))
    .toSorted((a, b) => bytesOf(a) - bytesOf(b))
    .map(({ id }) => id);
}

/** Affine groups that no row fills are the same as one group a row, which has a name of its own. */
function isWholeRow({ family, groupSize }: CatalogueScheme, rowLength: number): boolean {
  return family === 'affine' && groupSize !== 'row' && groupSize >= rowLength;
}
