/** @file Small random models of every family with a graph, in float32: what is special in each, and as little of the rest as possible. */
import { open, writeFile } from 'node:fs/promises';
import {
  type GgufMetadata,
  type GgufTensorSpec,
  type GgufValue,
  ggufFloat32,
  ggufString,
  ggufUint32,
  layoutGguf,
  MemorySink,
  writeGguf,
} from '@bitsmith/formats';
import { WeightFiles } from '../../src/model/weight-files.js';
import { gaussian, randomFrom } from './random.js';

export interface TinyShape {
  readonly architecture: string;
  readonly width: number;
  readonly blocks: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
  readonly feedForward: number;
  readonly vocabulary: number;
  readonly tied: boolean;
  /** Vectors added to these products, by their names within a block. */
  readonly biases: readonly string[];
  /** Norms besides the two that every block has. */
  readonly norms: readonly string[];
  /** One matrix for queries, keys and values, and one for gate and up. */
  readonly fused: boolean;
  /** Divisors of the rotary frequencies, by the tensor's name. */
  readonly factors: Readonly<Record<string, readonly number[]>>;
  /** Keys without the architecture's prefix. */
  readonly keys: Readonly<Record<string, GgufValue>>;
}

const base: TinyShape = {
  architecture: 'llama',
  width: 32,
  blocks: 2,
  heads: 4,
  keyValueHeads: 2,
  headSize: 8,
  feedForward: 48,
  vocabulary: 40,
  tied: false,
  biases: [],
  norms: [],
  fused: false,
  factors: {},
  keys: {},
};

const queryKeyNorms = ['attn_q_norm', 'attn_k_norm'];
const divisors = (first: number): number[] => Array.from({ length: 4 }, (_, index) => first + 0.7 * index);

/** One model for each turn of a family that a graph knows. */
export const tinyFamilies = {
  llama: base,
  'llama, tied, with frequencies of its own': {
    ...base,
    tied: true,
    keyValueHeads: 1,
    factors: { 'rope_freqs.weight': divisors(1) },
  },
  'llama with biases, stretched': {
    ...base,
    biases: ['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down'],
    keys: {
      'attention.scale': ggufFloat32(0.2),
      'rope.scaling.type': ggufString('linear'),
      'rope.scaling.factor': ggufFloat32(2.5),
    },
  },
  'mistral: heads wider than the model': {
    ...base,
    headSize: 16,
    keys: { 'rope.freq_base': ggufFloat32(1_000_000), 'attention.sliding_window': ggufUint32(8) },
  },
  qwen2: { ...base, architecture: 'qwen2', biases: ['attn_q', 'attn_k', 'attn_v'] },
  'qwen2, tied, stretched by YaRN': {
    ...base,
    architecture: 'qwen2',
    tied: true,
    biases: ['attn_q', 'attn_k', 'attn_v'],
    keys: {
      'rope.scaling.type': ggufString('yarn'),
      'rope.scaling.factor': ggufFloat32(4),
      'rope.scaling.original_context_length': ggufUint32(64),
      'rope.scaling.yarn_beta_fast': ggufFloat32(12),
      'rope.freq_base': ggufFloat32(100),
    },
  },
  qwen3: { ...base, architecture: 'qwen3', headSize: 12, norms: queryKeyNorms },
  gemma3: {
    ...base,
    architecture: 'gemma3',
    blocks: 7,
    tied: true,
    keyValueHeads: 1,
    norms: [...queryKeyNorms, 'post_attention_norm', 'post_ffw_norm'],
    keys: {
      'attention.sliding_window': ggufUint32(5),
      'rope.freq_base': ggufFloat32(1_000_000),
      'rope.scaling.type': ggufString('linear'),
      'rope.scaling.factor': ggufFloat32(8),
    },
  },
  'gemma3 with bent logits and a pattern of two': {
    ...base,
    architecture: 'gemma3',
    blocks: 4,
    tied: true,
    norms: [...queryKeyNorms, 'post_attention_norm', 'post_ffw_norm'],
    keys: {
      'attention.sliding_window': ggufUint32(4),
      'attention.sliding_window_pattern': ggufUint32(2),
      final_logit_softcapping: ggufFloat32(4),
      'rope.freq_base_swa': ggufFloat32(500),
    },
  },
  'gemma3 whose every block is local': {
    ...base,
    architecture: 'gemma3',
    norms: [...queryKeyNorms, 'post_attention_norm', 'post_ffw_norm'],
    keys: {
      'attention.sliding_window': ggufUint32(6),
      'attention.sliding_window_pattern': ggufUint32(0),
      'rope.freq_base': ggufFloat32(1_000_000),
    },
  },
  phi3: {
    ...base,
    architecture: 'phi3',
    fused: true,
    factors: { 'rope_factors_long.weight': divisors(2), 'rope_factors_short.weight': divisors(1) },
    keys: {
      'rope.scaling.attn_factor': ggufFloat32(1.19),
      'rope.scaling.original_context_length': ggufUint32(512),
      'attention.sliding_window': ggufUint32(4),
    },
  },
  'phi3 that turns half of each head, by its long factors': {
    ...base,
    architecture: 'phi3',
    fused: true,
    tied: true,
    factors: { 'rope_factors_long.weight': [2, 3], 'rope_factors_short.weight': [1, 1] },
    keys: {
      'rope.dimension_count': ggufUint32(4),
      'rope.scaling.original_context_length': ggufUint32(16),
    },
  },
} as const satisfies Record<string, TinyShape>;

export type TinyFamily = keyof typeof tinyFamilies;
export const tinyFamilyNames = Object.keys(tinyFamilies) as TinyFamily[];

function metadataOf(shape: TinyShape): GgufMetadata {
  const of = (key: string): string => `${shape.architecture}.${key}`;
  return new Map<string, GgufValue>([
    ['general.architecture', ggufString(shape.architecture)],
    [of('block_count'), ggufUint32(shape.blocks)],
    [of('context_length'), ggufUint32(1024)],
    [of('embedding_length'), ggufUint32(shape.width)],
    [of('feed_forward_length'), ggufUint32(shape.feedForward)],
    [of('attention.head_count'), ggufUint32(shape.heads)],
    [of('attention.head_count_kv'), ggufUint32(shape.keyValueHeads)],
    [of('attention.key_length'), ggufUint32(shape.headSize)],
    [of('attention.value_length'), ggufUint32(shape.headSize)],
    [of('attention.layer_norm_rms_epsilon'), ggufFloat32(1e-5)],
    [of('rope.dimension_count'), ggufUint32(shape.headSize)],
    [of('vocab_size'), ggufUint32(shape.vocabulary)],
    ['tokenizer.ggml.model', ggufString('no_vocab')],
    ...Object.entries(shape.keys).map(([key, value]) => [of(key), value] as const),
  ]);
}

/** Rows as long as inputs, as many as outputs. */
function matricesOf({
  width,
  heads,
  keyValueHeads,
  headSize,
  feedForward,
  fused,
}: TinyShape): Record<string, [number, number]> {
  const [queries, values] = [heads * headSize, keyValueHeads * headSize];
  const attention: Record<string, [number, number]> = fused
    ? { attn_qkv: [width, queries + 2 * values] }
    : { attn_q: [width, queries], attn_k: [width, values], attn_v: [width, values] };
  const up: Record<string, [number, number]> = fused
    ? { ffn_up: [width, 2 * feedForward] }
    : { ffn_gate: [width, feedForward], ffn_up: [width, feedForward] };
  return { ...attention, attn_output: [queries, width], ...up, ffn_down: [feedForward, width] };
}

function tensorsOf(shape: TinyShape): GgufTensorSpec[] {
  const { width, vocabulary, headSize } = shape;
  const tensor = (name: string, ...extents: number[]): GgufTensorSpec => ({
    name,
    type: 'F32',
    shape: extents,
  });
  const matrices = matricesOf(shape);
  const block = (index: number): GgufTensorSpec[] => [
    ...Object.entries(matrices).map(([name, extents]) => tensor(`blk.${index}.${name}.weight`, ...extents)),
    ...['attn_norm', 'ffn_norm', ...shape.norms].map((name) =>
      tensor(`blk.${index}.${name}.weight`, queryKeyNorms.includes(name) ? headSize : width),
    ),
    ...shape.biases.map((name) => tensor(`blk.${index}.${name}.bias`, matrices[name][1])),
  ];
  return [
    tensor('token_embd.weight', width, vocabulary),
    ...Object.entries(shape.factors).map(([name, values]) => tensor(name, values.length)),
    ...Array.from({ length: shape.blocks }, (_, index) => block(index)).flat(),
    tensor('output_norm.weight', width),
    ...(shape.tied ? [] : [tensor('output.weight', width, vocabulary)]),
  ];
}

/** Every weight matrix with its row length and its rows. */
export function matrixShapes(shape: TinyShape): Map<string, readonly [rowLength: number, rows: number]> {
  return new Map(
    tensorsOf(shape)
      .filter(({ shape: extents }) => extents.length === 2)
      .map(({ name, shape: [rowLength, rows] }) => [name, [rowLength, rows]]),
  );
}

/** Values that keep the stream near 1 and logits a few nats apart. */
function valuesOf(
  shape: TinyShape,
  { name, shape: extents }: GgufTensorSpec,
  random: () => number,
): Float32Array {
  const factors = shape.factors[name];
  if (factors !== undefined) return Float32Array.from(factors);
  const length = extents.reduce((product, extent) => product * extent, 1);
  if (name.endsWith('norm.weight')) return Float32Array.from({ length }, () => 1 + 0.3 * gaussian(random));
  // Keys and queries larger, so that attention is no mean of everything.
  const louder = /attn_(q|k|qkv)\./.test(name) ? 1.6 : 1;
  const spread = name === 'token_embd.weight' ? 0.6 : louder / Math.sqrt(extents[0]);
  return Float32Array.from({ length }, () => (name.endsWith('.bias') ? 0.3 : spread) * gaussian(random));
}

export async function writeTinyTransformer(file: string, shape: TinyShape, seed = 1): Promise<void> {
  const random = randomFrom(seed);
  const layout = layoutGguf({ metadata: metadataOf(shape), tensors: tensorsOf(shape) });
  const sink = new MemorySink();
  await writeGguf(sink, layout, async (tensor, _, out) => {
    const values = valuesOf(shape, tensor, random);
    await out.write(new Uint8Array(values.buffer));
  });
  await writeFile(file, sink.toBytes());
}

/** Tokens of a sequence; some come more than once. */
export function tinyTokens(count: number, vocabulary: number, seed: number): Int32Array {
  const random = randomFrom(seed);
  return Int32Array.from({ length: count }, () => Math.floor(random() * vocabulary));
}

interface Weight {
  readonly tensor: string;
  readonly row: number;
  readonly column: number;
}

/** Changes float32 weights of a file in place, and changes them back. */
export class WeightEditor {
  private readonly file: string;

  constructor(file: string) {
    this.file = file;
  }

  /** Adds `change` to one weight, as float32, while `work` runs; `work` gets what was really added. */
  async during<Result>(
    { tensor, row, column }: Weight,
    change: number,
    work: (added: number) => Promise<Result>,
  ): Promise<Result> {
    return await this.changing(tensor, ({ rowLength, values }) => {
      const place = row * rowLength + column;
      const before = values[place];
      values[place] += change;
      return () => work(values[place] - before);
    });
  }

  /** Gives one weight another value while `work` runs. */
  async setting<Result>(
    { tensor, row, column }: Weight,
    value: number,
    work: () => Promise<Result>,
  ): Promise<Result> {
    return await this.changing(tensor, ({ rowLength, values }) => {
      values[row * rowLength + column] = value;
      return work;
    });
  }

  /** Adds noise to all weights of a tensor while `work` runs. */
  async noising<Result>(tensor: string, noise: () => number, work: () => Promise<Result>): Promise<Result> {
    return await this.changing(tensor, ({ values }) => {
      for (let i = 0; i < values.length; i++) values[i] += noise();
      return work;
    });
  }

  private async changing<Result>(
    tensor: string,
    change: (weights: { rowLength: number; values: Float32Array }) => () => Promise<Result>,
  ): Promise<Result> {
    const files = await WeightFiles.open([this.file]);
    const { offset, byteLength, rowLength } = files.tensor(tensor);
    await files.close();
    const handle = await open(this.file, 'r+');
    try {
      const before = new Float32Array(byteLength / 4);
      await handle.read(new Uint8Array(before.buffer), 0, byteLength, offset);
      const values = before.slice();
      const work = change({ rowLength, values });
      await handle.write(new Uint8Array(values.buffer), 0, byteLength, offset);
      try {
        return await work();
      } finally {
        await handle.write(new Uint8Array(before.buffer), 0, byteLength, offset);
      }
    } finally {
      await handle.close();
    }
  }
}
