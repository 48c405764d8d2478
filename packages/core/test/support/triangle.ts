/** Symmetric matrices, [width, width], as the triangles of spans that the product keeps, and back. */
import { SpanTriangle } from '../../src/gram/span-triangle.js';

export function triangleOf(matrix: Float32Array): SpanTriangle {
  const width = Math.sqrt(matrix.length);
  const triangle = new SpanTriangle(width);
  eachEntry(triangle, (band, at, row, column) => (band[at] = matrix[row * width + column]));
  return triangle;
}

export function wholeOf(triangle: SpanTriangle): Float32Array {
  const { width } = triangle;
  const matrix = new Float32Array(width * width).fill(Number.NaN);
  eachEntry(triangle, (band, at, row, column) => {
    matrix[row * width + column] = matrix[column * width + row] = band[at];
  });
  return matrix;
}

function eachEntry(
  triangle: SpanTriangle,
  visit: (band: Float32Array, at: number, row: number, column: number) => void,
): void {
  for (let span = 0; span < triangle.spans; span++) {
    const [first, size, band] = [triangle.firstOf(span), triangle.sizeOf(span), triangle.band(span)];
    for (let p = 0; p < size; p++)
      for (let q = 0; q < first + size; q++) visit(band, q * size + p, first + p, q);
  }
}
