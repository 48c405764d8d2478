/** @file Where a metric and the vectors of rows lie in the memory of the vector kernels. */
import { STRIDE } from '@bitsmith/ggml';

export const FLOAT_BYTES = 4;
/** Rows in hand: codes of so many are decided side by side. */
export const ROWS_AT_ONCE = 4;
/** Groups of a span that share a number, at most. */
const MOST_GROUPS = 16;
/** The longest list of levels: more are evenly spaced. */
const MOST_LISTED = 16;

/** Of each row in hand, one after the other. */
export const ROW_VECTORS = [
  'targets',
  'values',
  'pull',
  'wanted',
  'errors',
  'direction',
  'moved',
  'base',
  'step',
  'inverse',
  'codes',
  'decided',
] as const;

/** The levels of codes: whole numbers from zero on, or a list of so many bytes. */
export type HeldLevels =
  | { readonly kind: 'even'; readonly top: number }
  | { readonly kind: 'listed'; readonly byteLength: number };

/** In bytes from the memory's start. */
export interface SpanPlaces {
  readonly matrix: number;
  readonly feedback: number;
  readonly own: number;
  readonly inverseOwn: number;
  readonly pivots: number;
  /** In which weights are decided, in bytes. */
  readonly order: number;
  readonly levels: number;
  /** The metric's rows, summed over the columns of each group. */
  readonly groups: number;
  /** Of all rows, weight by weight. */
  readonly errors: number;
  readonly losses: number;
  readonly rows: number;
}

export function spanPlaces(stride: number): { readonly places: SpanPlaces; readonly byteLength: number } {
  let byteLength = 0;
  const floats = (count: number): number => {
    const at = byteLength;
    byteLength += FLOAT_BYTES * count;
    return at;
  };
  const places = {
    matrix: floats(stride * stride),
    feedback: floats(stride * stride),
    own: floats(stride),
    inverseOwn: floats(stride),
    pivots: floats(stride),
    order: floats(stride),
    levels: floats(2 * MOST_LISTED),
    groups: floats(MOST_GROUPS * stride),
    errors: floats(ROWS_AT_ONCE * stride),
    losses: floats(STRIDE),
    rows: floats(ROWS_AT_ONCE * ROW_VECTORS.length * stride),
  };
  return { places, byteLength };
}
