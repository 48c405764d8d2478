/** @file How the tensors of a family are named and shaped in the folder, and what becomes of each. */

/** What is done to the values of a tensor on the way. */
export type TensorChange =
  /** Rows of each head are woven: the two halves that rotate together become neighbours. */
  | { readonly kind: 'weave-heads'; readonly heads: number }
  /** One is added to every value: the family's norms are stored as differences from one. */
  | { readonly kind: 'add-one' }
  /** Rows from here on are left out: they belong to no token. */
  | { readonly kind: 'first-rows'; readonly rows: number };

export interface TensorRule {
  /** The folder's name without `.weight`; `#` stands for the block. */
  readonly source: string;
  /** GGUF's name without `.weight`. */
  readonly target: string;
  /** Shape of the weight, outermost axis first. A bias has the first axis. */
  readonly shape: readonly number[];
  readonly change?: TensorChange;
  /** A weight that may be missing. */
  readonly optional?: boolean;
  /** Biases are welcome everywhere; here the model does not work without. */
  readonly needsBias?: boolean;
}

/** The extents that the shapes of a decoder are made of. */
export interface Dimensions {
  readonly vocabulary: number;
  readonly hidden: number;
  readonly feedForward: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headWidth: number;
}

const BLOCK = 'model.layers.#';

/** Embedding, final norm and output head. */
export function outerRules(d: Dimensions, options: { tied: boolean }): TensorRule[] {
  const table = [d.vocabulary, d.hidden];
  return [
    { source: 'model.embed_tokens', target: 'token_embd', shape: table },
    { source: 'model.norm', target: 'output_norm', shape: [d.hidden] },
    { source: 'lm_head', target: 'output', shape: table, optional: options.tied },
  ];
}

/** The four projections of an attention layer. */
export function attentionRules(
  d: Dimensions,
  options: { weave?: boolean; needsBias?: boolean } = {},
): TensorRule[] {
  const weave = (heads: number): { change?: TensorChange } =>
    options.weave === true ? { change: { kind: 'weave-heads', heads } } : {};
  const { needsBias } = options;
  const width = d.heads * d.headWidth;
  const kvWidth = d.kvHeads * d.headWidth;
  const from = `${BLOCK}.self_attn`;
  return [
    {
      source: `${from}.q_proj`,
      target: 'blk.#.attn_q',
      shape: [width, d.hidden],
      needsBias,
      ...weave(d.heads),
    },
    {
      source: `${from}.k_proj`,
      target: 'blk.#.attn_k',
      shape: [kvWidth, d.hidden],
      needsBias,
      ...weave(d.kvHeads),
    },
    { source: `${from}.v_proj`, target: 'blk.#.attn_v', shape: [kvWidth, d.hidden], needsBias },
    { source: `${from}.o_proj`, target: 'blk.#.attn_output', shape: [d.hidden, width] },
  ];
}

/** Norms of queries and keys, one for all heads. */
export function headNormRules(d: Dimensions): TensorRule[] {
  return [
    { source: `${BLOCK}.self_attn.q_norm`, target: 'blk.#.attn_q_norm', shape: [d.headWidth] },
    { source: `${BLOCK}.self_attn.k_norm`, target: 'blk.#.attn_k_norm', shape: [d.headWidth] },
  ];
}

/** A gated feed-forward layer. */
export function feedForwardRules(d: Dimensions): TensorRule[] {
  const from = `${BLOCK}.mlp`;
  return [
    { source: `${from}.gate_proj`, target: 'blk.#.ffn_gate', shape: [d.feedForward, d.hidden] },
    { source: `${from}.up_proj`, target: 'blk.#.ffn_up', shape: [d.feedForward, d.hidden] },
    { source: `${from}.down_proj`, target: 'blk.#.ffn_down', shape: [d.hidden, d.feedForward] },
  ];
}

/** Norms of the residual stream, by their names in the folder and in GGUF. */
export function blockNormRules(d: Dimensions, names: Readonly<Record<string, string>>): TensorRule[] {
  return Object.entries(names).map(([source, target]) => ({
    source: `${BLOCK}.${source}`,
    target: `blk.#.${target}`,
    shape: [d.hidden],
  }));
}

/** The norms before attention and before the feed-forward layer. */
export const preNorms = { input_layernorm: 'attn_norm', post_attention_layernorm: 'ffn_norm' };
