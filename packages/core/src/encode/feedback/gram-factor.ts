/**
 * @file The factor of a damped Gram matrix by spans of 256 columns: H = U M U', with M the spans' own metrics on the diagonal and U unit
 * upper triangular. Weights are decided span by span; what a span gets wrong, E_A, moves the targets of the later ones by E_A U_AB,
 * and the loss of a row is exactly the sum of its spans' e M e'. This is GPTQ's recursion without its inverse (LDLQ: Chee et
 * al., "QuIP", 2023, theorem 1), with large matrices as products of the engine.
 */
import { BitsmithError } from '@bitsmith/formats';
import { alignedFloats, computeOnce, type Engine } from '@bitsmith/ggml';
import { inLanes } from '../../run/lanes.js';
import { SPAN } from '../../gram/span.js';
import { inverseOf, type SpanMetric, spanMetric } from './span-metric.js';
import type { SpanTriangle } from '../../gram/span-triangle.js';

/** Added to the diagonal, times its mean: text of some thousand tokens does not tell more. */
const DAMPING = 0.01;

/** Bands that are reduced side by side: lanes that need the factor wait for it anyway. */
const LANES = 2;

/** Nodes of a product's graph. */
const NODES = 16;

export interface FactoredSpan {
  readonly first: number;
  readonly metric: SpanMetric;
  /** U_AB for all spans A before this span B, [A's size, B's size] each, one after the other; null for the first. */
  readonly pull: Float32Array | null;
}

export interface GramFactor {
  readonly width: number;
  readonly spans: readonly FactoredSpan[];
}

/**
 * @param gram becomes the factor
 * @param name of the tensor, for errors
 * @throws BitsmithError `GRAM_NOT_FINITE`, `GRAM_SINGULAR`
 */
export async function factorGram(
  engine: Engine,
  gram: SpanTriangle,
  name: string,
  damping = DAMPING,
): Promise<GramFactor> {
  const { width } = gram;
  damp(gram, name, damping);
  const solved = alignedFloats(SPAN * width);
  const spans: FactoredSpan[] = [];
  for (let span = gram.spans - 1; span >= 0; span--) {
    const [first, size] = [gram.firstOf(span), gram.sizeOf(span)];
    const matrix = Float64Array.from(gram.diagonalBlock(span));
    const inverse = inverseOf(matrix, size);
    if (inverse === null) throw singular(name, first, size);
    if (span > 0) await eliminate(engine, gram, span, inverse, solved.subarray(0, size * first));
    spans.unshift({ first, metric: spanMetric(matrix, size), pull: span > 0 ? gram.cross(span) : null });
  }
  return { width, spans };
}

function damp(gram: SpanTriangle, name: string, damping: number): void {
  let trace = 0;
  for (let span = 0; span < gram.spans; span++) {
    if (!gram.band(span).every(Number.isFinite)) throw notFinite(name);
    const [size, block] = [gram.sizeOf(span), gram.diagonalBlock(span)];
    for (let i = 0; i < size; i++) trace += block[i * size + i];
  }
  // Inputs that were always zero: every error is as good as another, and none is worth more than a neighbour's.
  const added = trace > 0 ? (damping * trace) / gram.width : 1;
  for (let span = 0; span < gram.spans; span++) {
    const [size, block] = [gram.sizeOf(span), gram.diagonalBlock(span)];
    for (let i = 0; i < size; i++) block[i * size + i] += added;
  }
}

/** X = M_B^-1 H_BA for all columns A before the span B takes the place of H_BA; H_AA becomes H_AA - H_AB X. */
async function eliminate(
  engine: Engine,
  gram: SpanTriangle,
  span: number,
  inverse: Float64Array,
  solved: Float32Array,
): Promise<void> {
  const [first, size, cross] = [gram.firstOf(span), gram.sizeOf(span), gram.cross(span)];
  await computeOnce(engine, NODES, (graph) => {
    const m = graph.leaf(Float32Array.from(inverse), size, size);
    graph.store(graph.multiply(m, graph.leaf(cross, size, first)), solved);
  });
  await inLanes(LANES, Array(span).keys(), async (other) => {
    const [start, band] = [gram.firstOf(other), gram.band(other)];
    const end = start + SPAN;
    await computeOnce(engine, NODES, (graph) => {
      const x = graph.leaf(solved.subarray(start * size, end * size), size, SPAN);
      const explained = graph.multiply(x, graph.leaf(cross.subarray(0, end * size), size, end));
      graph.store(graph.subtract(graph.leaf(band, SPAN, end), explained), band);
    });
  });
  for (let start = 0; start < first; start += SPAN)
    for (let c = 0; c < size; c++)
      for (let a = 0; a < SPAN; a++) cross[start * size + c * SPAN + a] = solved[(start + a) * size + c];
}

function notFinite(name: string): BitsmithError {
  return new BitsmithError(
    'analysis',
    'GRAM_NOT_FINITE',
    `expected finite statistics of the inputs of ${name}, found NaN or infinity`,
    { suggestion: 'The model overflows on the calibration text: try another, or --encoder nearest.' },
  );
}

function singular(name: string, first: number, size: number): BitsmithError {
  return new BitsmithError(
    'analysis',
    'GRAM_SINGULAR',
    `expected statistics of the inputs of ${name} that can be solved with, found none in columns ${first} to ${first + size - 1}, damping included`,
    { suggestion: 'Give more calibration text with --text, or --encoder nearest.' },
  );
}
