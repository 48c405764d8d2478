/**
 * @file Which tensors may be quantized: the rule of llama.cpp's own quantizer (`tensor_allows_quantization`,
 * `src/llama-quant.cpp` of v0.4.0), so that the runtime never meets a type it does not expect. What is not quantized stays
 * as it is stored.
 */
import type { TensorType } from '@bitsmith/formats';
import { isDecodable } from './schemes.js';

/** Tensors of one role that llama.cpp leaves alone, by a part of their name, with the reason in words. */
const keptParts: readonly (readonly [part: string, reason: string])[] = [
  ['_norm.weight', 'a normalisation'],
  ['ffn_gate_inp.weight', 'a router, small and decisive'],
  ['ffn_gate_tid2eid.weight', 'a routing table of integers'],
  ['altup', 'very small'],
  ['laurel', 'very small'],
  ['per_layer_model_proj', 'small'],
  ['ssm_conv1d', 'a small convolution'],
  ['shortconv.conv.weight', 'a small convolution'],
  ['indexer.k_proj.weight', 'very small'],
  ['indexer.q_proj.weight', 'very small'],
  ...[
    'time_mix_first.weight',
    'time_mix_w0.weight',
    'time_mix_w1.weight',
    'time_mix_w2.weight',
    'time_mix_v0.weight',
    'time_mix_v1.weight',
    'time_mix_v2.weight',
    'time_mix_a0.weight',
    'time_mix_a1.weight',
    'time_mix_a2.weight',
    'time_mix_g1.weight',
    'time_mix_g2.weight',
    'time_mix_decay_w1.weight',
    'time_mix_decay_w2.weight',
    'time_mix_lerp_fused.weight',
  ].map((part) => [part, 'a small tensor of the time mix'] as const),
  ['attn_rel_b.weight', 'a relative position bias'],
  ['.position_embd', 'a position embedding'],
  ['sam.pos_embd', 'a position embedding'],
  ['sam.neck.', 'part of the vision encoder'],
  ['sam.net_', 'part of the vision encoder'],
  ['.rel_pos', 'a relative position table'],
  ['.patch_embd', 'part of the vision encoder'],
  ['.patch_merger', 'part of the vision encoder'],
  ['a.rvq.codebook', 'an audio codebook'],
  ['mm.a.code_embd', 'an audio codebook'],
];

const keptNames: ReadonlyMap<string, string> = new Map([
  ['position_embd.weight', 'a position embedding'],
  ['token_types.weight', 'a token type embedding'],
]);

export interface QuantizableTensor {
  readonly name: string;
  readonly type: TensorType;
  readonly shape: readonly number[];
}

export type Quantizable =
  | { readonly allowed: true; readonly reason: null }
  /** `reason` completes the sentence "kept as stored: ...". */
  | { readonly allowed: false; readonly reason: string };

/**
 * Whether llama.cpp's quantizer would touch the tensor, and why not. Beyond its rule, types that cannot be decoded and
 * tensors of four axes (which its loop over rows cannot walk) are kept.
 */
export function quantizable(tensor: QuantizableTensor): Quantizable {
  const reason = reasonToKeep(tensor);
  return reason === null ? { allowed: true, reason } : { allowed: false, reason };
}

function reasonToKeep({ name, type, shape }: QuantizableTensor): string | null {
  if (!isDecodable(type)) return `${type} holds no weights that could be rounded`;
  if (!shape.some((extent, axis) => axis > 0 && extent > 1)) return 'a vector';
  if (shape.length > 3 && shape[3] > 1) return 'four axes';
  if (!name.endsWith('weight')) return 'not a weight matrix';
  const exact = keptNames.get(name);
  if (exact !== undefined) return exact;
  return keptParts.find(([part]) => name.includes(part))?.[1] ?? null;
}
