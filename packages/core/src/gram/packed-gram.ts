/**
 * @file Gram matrices at a quarter of the bytes of floats: what each input costs by itself, G_ii, as F32, and below the diagonal the
 * correlations, G_ij / sqrt(G_ii G_jj), as whole numbers of 1/32767. An error of half a step, 1.5e-5 of what the two inputs
 * cost, is far below what text of some ten thousand tokens leaves unknown (1/160), and below the damping of factors.
 */
import { SpanTriangle } from './span-triangle.js';

export interface PackedGram {
  readonly width: number;
  /** Rows of the lower triangle one after the other, each up to its diagonal, in units of 1/32767. */
  readonly correlations: Int16Array;
  /** G_ii */
  readonly diagonal: Float32Array;
}

export const CORRELATION_STEPS = 32_767;

/** Correlations of the rows before this one. */
export function correlationsBefore(row: number): number {
  return (row * (row + 1)) / 2;
}

/** Where a matrix holds what is no number, an input's G_ii becomes none. */
export function packGram(gram: SpanTriangle): PackedGram {
  const { width } = gram;
  const diagonal = new Float32Array(width);
  const inverseRoots = new Float64Array(width);
  const correlations = new Int16Array(correlationsBefore(width));
  let at = 0;
  for (let span = 0; span < gram.spans; span++) {
    const [first, size, band] = [gram.firstOf(span), gram.sizeOf(span), gram.band(span)];
    for (let p = 0; p < size; p++) {
      const own = first + p;
      const value = band[own * size + p];
      diagonal[own] = value;
      inverseRoots[own] = value === 0 ? 0 : 1 / Math.sqrt(value);
      const factor = CORRELATION_STEPS * inverseRoots[own];
      for (let q = 0; q <= own; q++, at++) {
        const steps = Math.round(band[q * size + p] * factor * inverseRoots[q]);
        if (!Number.isFinite(steps)) diagonal[own] = Number.NaN;
        correlations[at] = Math.max(-CORRELATION_STEPS, Math.min(CORRELATION_STEPS, steps));
      }
    }
  }
  return { width, correlations, diagonal };
}

/**
 * Fills a span's band.
 * @param rows correlations of the span's rows
 */
export function unpackBand(
  triangle: SpanTriangle,
  span: number,
  rows: Int16Array,
  diagonal: Float32Array,
): void {
  const [first, size, band] = [triangle.firstOf(span), triangle.sizeOf(span), triangle.band(span)];
  const roots = Float64Array.from(diagonal.subarray(0, first + size), Math.sqrt);
  for (let p = 0, at = 0; p < size; p++) {
    const own = first + p;
    const factor = roots[own] / CORRELATION_STEPS;
    for (let q = 0; q < own; q++) band[q * size + p] = rows[at + q] * factor * roots[q];
    for (let q = first; q < own; q++) band[own * size + (q - first)] = band[q * size + p];
    band[own * size + p] = diagonal[own];
    at += own + 1;
  }
}
