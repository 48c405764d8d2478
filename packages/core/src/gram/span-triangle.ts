/**
 * @file A symmetric matrix by spans: of each span the band from the first column to its own last, columns one after the other. Half the
 * floats of the whole matrix, and every product that encoders need is one of bands as they lie.
 */
import { alignedFloats } from '@bitsmith/ggml';
import { SPAN } from './span.js';

export class SpanTriangle {
  readonly width: number;
  readonly spans: number;
  private readonly floats: Float32Array;

  /** All zeros. */
  constructor(width: number) {
    this.width = width;
    this.spans = Math.ceil(width / SPAN);
    this.floats = alignedFloats(triangleFloats(width));
  }

  /** Multiplies all entries. */
  scale(factor: number): void {
    const { floats } = this;
    for (let i = 0; i < floats.length; i++) floats[i] *= factor;
  }

  firstOf(span: number): number {
    return span * SPAN;
  }

  sizeOf(span: number): number {
    return Math.min(SPAN, this.width - this.firstOf(span));
  }

  /** [size, first + size]: entry (first + p, q) at q size + p, those of the diagonal block on both of its sides. */
  band(span: number): Float32Array {
    const at = floatsBefore(span);
    const size = this.sizeOf(span);
    return this.floats.subarray(at, at + size * (this.firstOf(span) + size));
  }

  /** The band's columns before the span: [size, first] */
  cross(span: number): Float32Array {
    return this.band(span).subarray(0, this.sizeOf(span) * this.firstOf(span));
  }

  /** [size, size] */
  diagonalBlock(span: number): Float32Array {
    return this.band(span).subarray(this.sizeOf(span) * this.firstOf(span));
  }
}

/** Of all bands. */
export function triangleFloats(width: number): number {
  const last = Math.floor(width / SPAN);
  return floatsBefore(last) + (width - last * SPAN) * width;
}

/** Spans before this one are whole. */
function floatsBefore(span: number): number {
  return (SPAN * SPAN * span * (span + 1)) / 2;
}
