/**
 * @file A model of any size, made from a seed: a llama as its converter would write it, in F16. Weights are normal, with
 * some columns several times larger than the rest, as trained models have them; variances keep activations near 1, so that the
 * model also runs.
 */
import { encodeFloats, type GgufMetadata, type GgufTensorSpec, type GgufValue } from '@bitsmith/formats';
import {
  elementCount,
  ggufFloat32,
  ggufInt32Array,
  ggufString,
  ggufStringArray,
  ggufUint32,
  layoutGguf,
  writeGguf,
} from '@bitsmith/formats';
import { FileOutput } from './file.js';
import { normalQuantiles, randomWords } from './random.js';

export interface ModelShape {
  readonly name: string;
  readonly blocks: number;
  readonly width: number;
  readonly feedForward: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly vocabulary: number;
  readonly contextLength: number;
}

/** The shape of a model of a billion weights, on which memory is measured. */
export const oneBillion: ModelShape = {
  name: 'generated-1b',
  blocks: 16,
  width: 2048,
  feedForward: 8192,
  heads: 32,
  keyValueHeads: 8,
  vocabulary: 32_768,
  contextLength: 2048,
};

export interface GeneratedModel {
  readonly parameterCount: number;
  readonly byteLength: number;
}

/** Every 128th column or so is this much larger. */
const OUTLIER_SCALE = 6;
const OUTLIER_SHARE = 1 / 128;

/**
 * Writes the model to `file`.
 * @param tokenizer metadata of a model whose `tokenizer.*` keys are taken; the vocabulary is filled up with unused tokens
 */
export async function generateModel(
  file: string,
  shape: ModelShape,
  tokenizer: GgufMetadata,
  seed: number,
): Promise<GeneratedModel> {
  const tensors = tensorsOf(shape);
  const layout = layoutGguf({ metadata: metadataOf(shape, tokenizer), tensors });
  const sink = await FileOutput.create(file);
  const fill = new WeightFiller(seed);
  try {
    await writeGguf(sink, layout, async ({ type, shape: axes }, _index, tensorSink) => {
      if (type === 'F32') {
        await tensorSink.write(encodeFloats('F32', fill.gains(axes[0])));
        return;
      }
      for (const rows of fill.rows(axes[0], axes[1])) await tensorSink.write(rows);
    });
  } finally {
    await sink.close();
  }
  const parameterCount = tensors.reduce((sum, tensor) => sum + elementCount(tensor.shape), 0);
  return { parameterCount, byteLength: layout.byteLength };
}

function tensorsOf({ blocks, width, feedForward, heads, keyValueHeads, vocabulary }: ModelShape) {
  const keyValueWidth = (width / heads) * keyValueHeads;
  const matrix = (name: string, columns: number, rows: number): GgufTensorSpec => ({
    name: `${name}.weight`,
    type: 'F16',
    shape: [columns, rows],
  });
  const norm = (name: string): GgufTensorSpec => ({ name: `${name}.weight`, type: 'F32', shape: [width] });
  const tensors = [matrix('token_embd', width, vocabulary)];
  for (let block = 0; block < blocks; block++) {
    const of = `blk.${block}.`;
    tensors.push(
      norm(`${of}attn_norm`),
      matrix(`${of}attn_q`, width, width),
      matrix(`${of}attn_k`, width, keyValueWidth),
      matrix(`${of}attn_v`, width, keyValueWidth),
      matrix(`${of}attn_output`, width, width),
      norm(`${of}ffn_norm`),
      matrix(`${of}ffn_gate`, width, feedForward),
      matrix(`${of}ffn_up`, width, feedForward),
      matrix(`${of}ffn_down`, feedForward, width),
    );
  }
  return [...tensors, norm('output_norm'), matrix('output', width, vocabulary)];
}

function metadataOf(shape: ModelShape, tokenizer: GgufMetadata): GgufMetadata {
  const metadata = new Map<string, GgufValue>([
    ['general.architecture', ggufString('llama')],
    ['general.name', ggufString(shape.name)],
    ['general.file_type', ggufUint32(1)],
    ['llama.block_count', ggufUint32(shape.blocks)],
    ['llama.context_length', ggufUint32(shape.contextLength)],
    ['llama.embedding_length', ggufUint32(shape.width)],
    ['llama.feed_forward_length', ggufUint32(shape.feedForward)],
    ['llama.attention.head_count', ggufUint32(shape.heads)],
    ['llama.attention.head_count_kv', ggufUint32(shape.keyValueHeads)],
    ['llama.attention.layer_norm_rms_epsilon', ggufFloat32(1e-5)],
    ['llama.rope.dimension_count', ggufUint32(shape.width / shape.heads)],
    ['llama.rope.freq_base', ggufFloat32(10_000)],
    ['llama.vocab_size', ggufUint32(shape.vocabulary)],
  ]);
  for (const [key, value] of tokenizer) if (key.startsWith('tokenizer.')) metadata.set(key, value);
  fillVocabulary(metadata, shape.vocabulary);
  return metadata;
}

/** llama.cpp's number for a token that never occurs in text. */
const UNUSED_TOKEN = 5;

function fillVocabulary(metadata: Map<string, GgufValue>, size: number): void {
  const tokens = metadata.get('tokenizer.ggml.tokens');
  const types = metadata.get('tokenizer.ggml.token_type');
  if (tokens?.type !== 'array' || tokens.itemType !== 'string' || types?.type !== 'array') {
    throw new Error('expected a tokenizer with tokens and their types to begin with');
  }
  const added = size - tokens.value.length;
  const names = Array.from({ length: added }, (_, index) => `[UNUSED${index}]`);
  metadata.set('tokenizer.ggml.tokens', ggufStringArray([...tokens.value, ...names]));
  const kinds = [...(types.value as Int32Array), ...names.map(() => UNUSED_TOKEN)];
  metadata.set('tokenizer.ggml.token_type', ggufInt32Array(kinds));
}

/** Bytes of weights written at once, about. */
const PIECE_WEIGHTS = 1 << 22;

/** Draws weights: a random 16-bit number picks a quantile that is in half precision already. */
class WeightFiller {
  private readonly words: () => number;
  private readonly quantiles = normalQuantiles(1 << 16);
  private readonly tables = new Map<number, Uint16Array>();

  constructor(seed: number) {
    this.words = randomWords(seed);
  }

  /** Gains of a normalisation, near 1. */
  gains(length: number): Float32Array {
    return Float32Array.from({ length }, () => 1 + 0.1 * this.quantiles[this.words() >>> 16]);
  }

  /** The rows of a matrix, in pieces; a piece is valid until the next. */
  *rows(columns: number, rows: number): Generator<Uint8Array> {
    const deviation = 1 / Math.sqrt(columns);
    const table = this.table(deviation);
    const outliers = this.table(deviation * OUTLIER_SCALE);
    const places = Array.from({ length: columns }, (_, column) => column).filter(
      () => this.words() < OUTLIER_SHARE * 2 ** 32,
    );
    const rowsAtOnce = Math.max(1, Math.floor(PIECE_WEIGHTS / columns));
    const piece = new Uint16Array(Math.min(rows, rowsAtOnce) * columns);
    for (let row = 0; row < rows; row += rowsAtOnce) {
      const values = piece.subarray(0, Math.min(rowsAtOnce, rows - row) * columns);
      this.draw(values, table);
      for (const place of places) {
        for (let at = place; at < values.length; at += columns) values[at] = outliers[this.words() >>> 16];
      }
      yield new Uint8Array(values.buffer, 0, values.byteLength);
    }
  }

  private draw(values: Uint16Array, table: Uint16Array): void {
    const { words } = this;
    for (let i = 0; i < values.length; i += 2) {
      const word = words();
      values[i] = table[word & 0xffff];
      values[i + 1] = table[word >>> 16];
    }
  }

  private table(deviation: number): Uint16Array {
    let table = this.tables.get(deviation);
    if (table === undefined) {
      const bytes = encodeFloats(
        'F16',
        this.quantiles.map((quantile) => quantile * deviation),
      );
      table = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
      this.tables.set(deviation, table);
    }
    return table;
  }
}
