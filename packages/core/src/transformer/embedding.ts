/**
 * @file The input embedding: rows looked up, and the squares of its gradient, which lies in the rows of the sequence's own tokens
 * only. Where the output head is the same tensor, the two gradients are summed before they are squared.
 */
import { tensorByteLength } from '@bitsmith/formats';
import { decodeRows } from '@bitsmith/ggml';
import type { StoredTensor } from '../model/weight-files.js';
import type { OwnRows } from './head-lane.js';
import type { PassSettings } from './blocks.js';
import type { TransformerShape } from './shape.js';
import type { SquaredGradient } from './squared-gradient.js';

/** Its tensor, wherever it is stored. */
export const EMBEDDING = 'token_embd.weight';

export class EmbeddingRows {
  private readonly settings: PassSettings;
  private readonly tensor: StoredTensor;

  constructor(settings: PassSettings) {
    this.settings = settings;
    this.tensor = settings.files.tensor(EMBEDDING);
  }

  get vocabulary(): number {
    return this.tensor.rows;
  }

  /** [width, positions], scaled as the family does. */
  async look(tokens: Int32Array): Promise<Float32Array> {
    const { engine, files, model } = this.settings;
    const { type, rowLength, rowBytes } = this.tensor;
    const distinct = [...new Set(tokens)];
    const bytes = new Uint8Array(tensorByteLength(type, [rowLength, distinct.length]));
    await Promise.all(
      distinct.map((token, row) =>
        files.readRows(EMBEDDING, token, bytes.subarray(row * rowBytes, (row + 1) * rowBytes)),
      ),
    );
    const rows = new Float32Array(rowLength * distinct.length);
    await decodeRows(engine, { type, bytes, rows: distinct.length, rowLength }, rows);
    if (model.embeddingScale !== 1) for (let i = 0; i < rows.length; i++) rows[i] *= model.embeddingScale;
    const rowOf = new Map(distinct.map((token, row) => [token, row]));
    const values = new Float32Array(rowLength * tokens.length);
    tokens.forEach((token, position) => {
      const row = rowOf.get(token) as number;
      values.set(rows.subarray(row * rowLength, (row + 1) * rowLength), position * rowLength);
    });
    return values;
  }

  /** Adds the embedding's <G, dW> to a sequence's. `gradient` is that of the stream before the first block. */
  async addInner(tokens: Int32Array, gradient: Float32Array, into: Map<string, number>): Promise<void> {
    const { changes, model } = this.settings;
    if (changes === undefined) return;
    const change = new Float32Array(model.width);
    let sum = into.get(EMBEDDING) ?? 0;
    for (const [token, row] of sumByToken(model, tokens, gradient)) {
      await changes.rows(EMBEDDING, token, change);
      for (let column = 0; column < row.length; column++) sum += row[column] * change[column];
    }
    into.set(EMBEDDING, sum);
  }
}

/** Adds the embedding's squares to those of a sequence. `gradient` is that of `stream`, the one before the first block. */
export function meetEmbedding(
  model: TransformerShape,
  vocabulary: number,
  tokens: Int32Array,
  stream: Float32Array,
  gradient: Float32Array,
  headRows: OwnRows | null,
  into: Map<string, SquaredGradient>,
): void {
  const own = sumByToken(model, tokens, gradient);
  const known = into.get(EMBEDDING);
  const squared = known ?? empty(model.width, vocabulary);
  for (const [token, row] of own) {
    const head = headRows === null ? null : rowOf(headRows, token, model.width);
    let change = 0;
    for (let column = 0; column < row.length; column++) {
      const before = head?.[column] ?? 0;
      const after = before + row[column];
      const difference = after * after - before * before;
      squared.columns[column] += difference;
      change += difference;
    }
    squared.rows[token] += change;
  }
  for (let i = 0; i < stream.length; i++) squared.growth[0] += stream[i] * gradient[i];
  into.set(EMBEDDING, squared);
}

/** The embedding's own gradient: of every row that was looked up. */
function sumByToken(
  { width, embeddingScale }: TransformerShape,
  tokens: Int32Array,
  gradient: Float32Array,
): Map<number, Float32Array> {
  const rows = new Map<number, Float32Array>();
  tokens.forEach((token, position) => {
    let row = rows.get(token);
    if (row === undefined) rows.set(token, (row = new Float32Array(width)));
    for (let column = 0; column < width; column++)
      row[column] += embeddingScale * gradient[position * width + column];
  });
  return rows;
}

function rowOf(rows: OwnRows, token: number, width: number): Float32Array {
  const index = rows.tokens.indexOf(token);
  return rows.values.subarray(index * width, (index + 1) * width);
}

function empty(inputs: number, outputs: number): SquaredGradient {
  return {
    rows: new Float32Array(outputs),
    columns: new Float32Array(inputs),
    energy: new Float32Array(outputs),
    growth: new Float32Array(1),
  };
}
