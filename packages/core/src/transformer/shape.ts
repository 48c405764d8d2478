/**
 * @file What a transformer's graph depends on, read from a GGUF: which blocks it has, how their attention works, and which
 * of the few differences between the families apply. One description serves all of them: Llama and Mistral, Qwen 2 and 3,
 * Gemma 3 and Phi 3, as the engine's own graphs for these architectures compute them.
 */
import { BitsmithError, type GgufMetadata } from '@bitsmith/formats';
import type { RopeSettings } from '@bitsmith/ggml';
import type { SourceModel } from '../model/types.js';

/** Architectures with a graph of our own, by their name in GGUF. */
const graphArchitectures = ['llama', 'qwen2', 'qwen3', 'gemma3', 'phi3'] as const;
type Architecture = (typeof graphArchitectures)[number];

export interface BlockShape {
  readonly rope: RopeSettings;
  /** Tokens that a position looks back on, itself included; null: all. */
  readonly window: number | null;
}

export interface TransformerShape {
  readonly architecture: Architecture;
  readonly width: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
  readonly epsilon: number;
  readonly activation: 'silu' | 'gelu';
  /** What the embedding is multiplied by. */
  readonly embeddingScale: number;
  /** What products of queries and keys are multiplied by. */
  readonly attentionScale: number;
  /** Whether queries are multiplied by it before the product, as the engine does: sums then round as its own do. */
  readonly scaledQueries: boolean;
  /** Logits are bent into +-limit where there is one. */
  readonly logitLimit: number | null;
  readonly blocks: readonly BlockShape[];
  /** One head for input and output. */
  readonly tied: boolean;
}

/** @throws BitsmithError `GRAPH_UNSUPPORTED` when the model is not one of the families, or has parts they do not have */
export function readTransformerShape(
  metadata: GgufMetadata,
  hasTensor: (name: string) => boolean,
): TransformerShape {
  const architecture = architectureOf(metadata);
  const keys = new Keys(metadata, architecture);
  if ((keys.number('expert_count') ?? 0) > 0) throw unsupported(`a mixture of experts (${architecture})`);
  if (keys.flag('attention.causal') === false) throw unsupported('attention to later positions');
  const width = keys.required('embedding_length');
  const heads = keys.required('attention.head_count');
  const keyValueHeads = keys.number('attention.head_count_kv') ?? heads;
  const headSize = keys.number('attention.key_length') ?? width / heads;
  const valueSize = keys.number('attention.value_length') ?? width / heads;
  if (valueSize !== headSize) throw unsupported('keys and values of different sizes');
  const count = keys.required('block_count');
  const gemma = architecture === 'gemma3';
  const limit = gemma ? (keys.number('final_logit_softcapping') ?? 0) : 0;
  return {
    architecture,
    width,
    heads,
    keyValueHeads,
    headSize,
    epsilon: keys.required('attention.layer_norm_rms_epsilon'),
    activation: gemma ? 'gelu' : 'silu',
    embeddingScale: gemma ? Math.fround(Math.sqrt(width)) : 1,
    scaledQueries: gemma || architecture === 'phi3',
    attentionScale: attentionScale(architecture, { width, heads, headSize, blocks: count }),
    logitLimit: limit === 0 ? null : limit,
    blocks: Array.from({ length: count }, (_, index) => blockShape(keys, architecture, index, headSize)),
    tied: !hasTensor('output.weight'),
  };
}

function architectureOf(metadata: GgufMetadata): Architecture {
  const value = metadata.get('general.architecture');
  const name = value?.type === 'string' ? String(value.value) : '(none)';
  const known = graphArchitectures.find((architecture) => architecture === name);
  if (known === undefined) throw unsupported(name);
  return known;
}

function attentionScale(
  architecture: Architecture,
  { width, heads, headSize, blocks }: { width: number; heads: number; headSize: number; blocks: number },
): number {
  // The 27B model of Gemma 3 alone divides by the width of a head as if heads filled the model's width.
  const largest = architecture === 'gemma3' && blocks === 62;
  return 1 / Math.sqrt(largest ? Math.floor(width / heads) : headSize);
}

function blockShape(keys: Keys, architecture: Architecture, index: number, headSize: number): BlockShape {
  const window = architecture === 'gemma3' ? (keys.number('attention.sliding_window') ?? 0) : 0;
  const period = keys.number('attention.sliding_window_pattern') ?? 6;
  // A pattern of 0: every block is local.
  const local = window > 0 && (period === 0 || index % period < period - 1);
  const rope = ropeSettings(keys, architecture, headSize);
  if (!local) return { rope, window: null };
  const base = keys.number('rope.freq_base_swa') ?? 10_000;
  return { rope: { ...rope, base, scale: 1 }, window };
}

function ropeSettings(keys: Keys, architecture: Architecture, headSize: number): RopeSettings {
  const scaling = keys.text('rope.scaling.type') ?? 'linear';
  const factor = keys.number('rope.scaling.factor') ?? keys.number('rope.scale_linear') ?? 0;
  const scale = factor === 0 || scaling === 'none' ? 1 : 1 / factor;
  const yarn = scaling === 'yarn';
  // ggml multiplies by 1 + 0.1 ln(1 / scale) itself where it extrapolates; the engine takes that back where it shrinks.
  const stretched = yarn && scale > 1 ? 1 / (1 - 0.1 * Math.log(scale)) : 1;
  return {
    dimensions: keys.number('rope.dimension_count') ?? headSize,
    mode: architecture === 'llama' ? 0 : 2,
    originalContext: keys.number('rope.scaling.original_context_length') ?? keys.required('context_length'),
    base: keys.number('rope.freq_base') ?? 10_000,
    scale,
    // The engine reads YaRN's other keys (yarn_ext_factor, yarn_beta_fast, ...) for architectures that have no graph here.
    extrapolation: yarn ? 1 : 0,
    attention: stretched * (keys.number('rope.scaling.attn_factor') ?? 1),
    betaFast: 32,
    betaSlow: 1,
  };
}

/** Metadata under the architecture's prefix. */
class Keys {
  private readonly metadata: GgufMetadata;
  private readonly prefix: string;

  constructor(metadata: GgufMetadata, prefix: string) {
    this.metadata = metadata;
    this.prefix = prefix;
  }

  number(key: string): number | undefined {
    const value = this.metadata.get(`${this.prefix}.${key}`);
    if (value === undefined) return undefined;
    if (value.type === 'array') {
      const items =
        value.itemType === 'string' || value.itemType === 'array' ? [] : Array.from(value.value, Number);
      // A value a block each, all the same, is one value.
      if (items.length > 0 && items.every((item) => item === items[0])) return items[0];
      throw unsupported(`${this.prefix}.${key} that differs from block to block`);
    }
    return value.type === 'string' || value.type === 'bool' ? undefined : Number(value.value);
  }

  required(key: string): number {
    const value = this.number(key);
    if (value === undefined || !(value > 0)) throw unsupported(`a model without ${this.prefix}.${key}`);
    return value;
  }

  flag(key: string): boolean | undefined {
    const value = this.metadata.get(`${this.prefix}.${key}`);
    return value?.type === 'bool' ? value.value : undefined;
  }

  text(key: string): string | undefined {
    const value = this.metadata.get(`${this.prefix}.${key}`);
    return value?.type === 'string' ? String(value.value) : undefined;
  }
}

export function unsupported(found: string): BitsmithError {
  return new BitsmithError(
    'unsupported',
    'GRAPH_UNSUPPORTED',
    `expected a dense model of an architecture with a graph of gradients (${graphArchitectures.join(', ')}), found ${found}`,
    {
      suggestion:
        'Measure with a method that runs the model as it is: --method rtn, noise, disable, upgrade, activation or variance.',
    },
  );
}

/** Whether gradients of the model can be measured; the engine has the last word. */
export function hasGraph(model: Pick<SourceModel, 'architecture'>): boolean {
  return graphArchitectures.some((architecture) => architecture === model.architecture);
}
