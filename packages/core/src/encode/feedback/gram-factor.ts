/**
 * @file The factor of a damped Gram matrix by spans of 256 columns: H = U M U', with M the spans' own metrics on the diagonal and U unit
 * upper triangular. Weights are decided span by span; what a span gets wrong, E_A, moves the targets of the later ones by E_A U_AB,
 * and the loss of a row is exactly the sum of its spans' e M e'. This is GPTQ's recursion without its inverse (LDLQ: Chee et
 * al., "QuIP", 2023, theorem 1), with large matrices as products of the engine.
 */
import { BitsmithError } from '@bitsmith/formats';
import { alignedFloats, ComputeGraph, type Engine } from '@bitsmith/ggml';
import { SPAN } from './span.js';
import { inverseOf, type SpanMetric, spanMetric } from './span-metric.js';

/** Added to the diagonal, times its mean: text of some thousand tokens does not tell more. */
const DAMPING = 0.01;

export interface FactoredSpan {
  readonly first: number;
  readonly metric: SpanMetric;
  /** U_AB for all columns B behind this span A, transposed: [span, columns behind]; null for the last. */
  readonly push: Float32Array | null;
}

export interface GramFactor {
  readonly width: number;
  readonly spans: readonly FactoredSpan[];
}

/**
 * @param gram [width, width]; becomes work space
 * @param name of the tensor, for errors
 * @throws BitsmithError `GRAM_NOT_FINITE`, `GRAM_SINGULAR`
 */
export async function factorGram(
  engine: Engine,
  gram: Float32Array,
  name: string,
  damping = DAMPING,
): Promise<GramFactor> {
  const width = Math.round(Math.sqrt(gram.length));
  damp(gram, width, name, damping);
  const spans: FactoredSpan[] = [];
  const starts = Array.from({ length: Math.ceil(width / SPAN) }, (_, index) => index * SPAN);
  const pushes = starts.map((first) => {
    const behind = width - Math.min(width, first + SPAN);
    return behind === 0 ? null : alignedFloats((width - behind - first) * behind);
  });
  for (const first of starts.toReversed()) {
    const size = Math.min(SPAN, width - first);
    const matrix = blockOf(gram, width, first, size);
    const inverse = inverseOf(matrix, size);
    if (inverse === null) throw singular(name, first, size);
    if (first > 0) await eliminate(engine, gram, width, { first, size, inverse }, starts, pushes);
    spans.unshift({ first, metric: spanMetric(matrix, size), push: pushes[first / SPAN] });
  }
  return { width, spans };
}

function damp(gram: Float32Array, width: number, name: string, damping: number): void {
  let trace = 0;
  for (let i = 0; i < width; i++) trace += gram[i * width + i];
  if (!gram.every(Number.isFinite)) throw notFinite(name);
  // Inputs that were always zero: every error is as good as another, and none is worth more than a neighbour's.
  const added = trace > 0 ? (damping * trace) / width : 1;
  for (let i = 0; i < width; i++) gram[i * width + i] += added;
}

function blockOf(gram: Float32Array, width: number, first: number, size: number): Float64Array {
  const block = new Float64Array(size * size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++) block[i * size + j] = gram[(first + i) * width + first + j];
  return block;
}

interface Eliminated {
  readonly first: number;
  readonly size: number;
  readonly inverse: Float64Array;
}

/** X = H_AB M_B^-1 for all rows A before the span B goes to their pushes; H_AA becomes H_AA - X H_BA. */
async function eliminate(
  engine: Engine,
  gram: Float32Array,
  width: number,
  { first, size, inverse }: Eliminated,
  starts: readonly number[],
  pushes: readonly (Float32Array | null)[],
): Promise<void> {
  const cross = alignedFloats(first * size);
  for (let i = 0; i < first; i++)
    cross.set(gram.subarray(i * width + first, i * width + first + size), i * size);
  const inverted = alignedFloats(size * size);
  inverted.set(inverse);
  const solved = alignedFloats(first * size);
  const explained = alignedFloats(first * first);
  const graph = new ComputeGraph(engine, 32);
  try {
    const h = graph.leaf(cross, size, first);
    const x = graph.multiply(graph.leaf(inverted, size, size), h);
    graph.store(x, solved);
    graph.store(graph.multiply(h, x), explained);
    await graph.compute();
  } finally {
    graph.dispose();
  }
  for (let i = 0; i < first; i++)
    for (let j = 0; j < first; j++) gram[i * width + j] -= explained[i * first + j];
  for (const [index, start] of starts.entries()) {
    const push = pushes[index];
    if (push === null || start >= first) continue;
    const behind = first - start - SPAN;
    for (let column = 0; column < size; column++)
      for (let k = 0; k < SPAN; k++) push[(behind + column) * SPAN + k] = solved[(start + k) * size + column];
  }
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
