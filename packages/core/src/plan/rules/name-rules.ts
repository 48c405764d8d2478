/**
 * @file Bits by name, without any measurement: what a tensor is called and how deep its block lies. In order:
 *
 * 1. a name with a sensitive part (embeddings, norms, the head) keeps 16 bits;
 * 2. attention gets 4;
 * 3. of the rest, the first and the last quarter of the blocks get 4, the half between them 2.
 *
 * Families name the same thing differently, and a short part such as `output` would also be found in an attention's output
 * projection. So the rules read one name for each role, and the true index of the block.
 */
import type { ModelTensor, TensorRole } from '../../model/types.js';

export type RuleBits = 2 | 4 | 8 | 16;

/** What the rules say of one tensor. */
export interface RuleDecision {
  readonly bits: RuleBits;
  /** The rule that decided, in words. */
  readonly note: string;
}

/** Parts of a name, in small letters, that mark what quantization must not touch. */
const sensitiveParts = [
  'embed',
  'embedding',
  '.wte.',
  '.wpe.',
  'norm',
  'ln_',
  'layernorm',
  'lm_head',
  '.head.',
  'output',
  'pooler',
];
const attentionParts = ['attn', 'attention'];

/** Roles by the words that the rules look for; tensors of all other roles are read by the names they have. */
const ruleNames: Readonly<Partial<Record<TensorRole, string>>> = {
  embedding: 'embed_tokens',
  norm: 'norm',
  'output-head': 'lm_head',
  'attention-q': 'self_attn.q_proj',
  'attention-k': 'self_attn.k_proj',
  'attention-v': 'self_attn.v_proj',
  'attention-qkv': 'self_attn.qkv_proj',
  'attention-output': 'self_attn.o_proj',
  'mlp-gate': 'mlp.gate_proj',
  'mlp-up': 'mlp.up_proj',
  'mlp-down': 'mlp.down_proj',
  'expert-gate': 'mlp.experts.gate_proj',
  'expert-up': 'mlp.experts.up_proj',
  'expert-down': 'mlp.experts.down_proj',
};

const FIRST_QUARTER = 0.25;
const LAST_QUARTER = 0.75;

type NamedTensor = Pick<ModelTensor, 'name' | 'role' | 'block'>;

/** @param blocks how many blocks the model has */
export function ruleFor(tensor: NamedTensor, blocks: number): RuleDecision {
  const name = ruleNames[tensor.role] ?? tensor.name.toLowerCase();
  const sensitive = sensitiveParts.find((part) => name.includes(part));
  if (sensitive !== undefined) return { bits: 16, note: `sensitive by name ('${sensitive}')` };
  if (attentionParts.some((part) => name.includes(part))) return { bits: 4, note: 'attention' };
  // What lies outside the blocks is the beginning or the end of the model.
  const depth = tensor.block === null ? 0 : tensor.block / Math.max(1, blocks);
  const bits = depth >= FIRST_QUARTER && depth < LAST_QUARTER ? 2 : 4;
  const place =
    tensor.block === null ? 'outside the blocks' : `block ${tensor.block} of ${blocks}, ${quarter(depth)}`;
  return { bits, note: place };
}

function quarter(depth: number): string {
  if (depth < FIRST_QUARTER) return 'the first quarter';
  return depth < LAST_QUARTER ? 'the middle half' : 'the last quarter';
}

/** Blocks of a model: the highest index of a tensor's, and those before it. */
export function blockCount(tensors: readonly Pick<ModelTensor, 'block'>[]): number {
  return tensors.reduce((count, { block }) => Math.max(count, (block ?? -1) + 1), 0);
}
