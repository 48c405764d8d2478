/** @file Gemma 3, its text half: norms are stored as differences from one, and the embedding has rows that no token uses. */
import { BitsmithError } from '@bitsmith/formats';
import type { Hparams } from '../config/hparams.js';
import { writeTextParameters } from '../config/text-parameters.js';
import { isJsonObject } from '../folder.js';
import { type ConversionContext, dimensionsOf, type Family, tiedEmbeddings } from '../family.js';
import {
  attentionRules,
  blockNormRules,
  feedForwardRules,
  headNormRules,
  outerRules,
  type TensorRule,
} from '../tensors/rules.js';
import { hasSentencePiece, writeBpe, writeSentencePiece } from '../tokenizer/write-tokenizer.js';

const blockNorms = {
  input_layernorm: 'attn_norm',
  post_attention_layernorm: 'post_attention_norm',
  pre_feedforward_layernorm: 'ffn_norm',
  post_feedforward_layernorm: 'post_ffw_norm',
};

export const gemma3: Family = {
  ggufArchitecture: 'gemma3',
  architectures: ['Gemma3ForCausalLM', 'Gemma3ForConditionalGeneration'],

  async check({ hparams }) {
    if (hparams.get('attn_logit_softcapping') === undefined) return;
    throw new BitsmithError('unsupported', 'MODEL_VARIANT', 'Gemma 3 does not cap its attention scores', {
      expected: 'attn_logit_softcapping of null',
      found: JSON.stringify(hparams.get('attn_logit_softcapping')),
      suggestion: "Restore the model's config.json.",
    });
  },

  async tensorRules(context) {
    const d = dimensionsOf(context.hparams);
    const rows = await usedVocabulary(context, d.vocabulary);
    const outer = outerRules(d, { tied: tiedEmbeddings(context.hparams) }).map((rule) =>
      rule.target === 'token_embd' ? { ...rule, change: { kind: 'first-rows' as const, rows } } : rule,
    );
    return [
      ...outer.map(shiftedNorm),
      ...blockNormRules(d, blockNorms).map(shiftedNorm),
      ...attentionRules(d),
      ...headNormRules(d).map(shiftedNorm),
      ...feedForwardRules(d),
    ];
  },

  async writeParameters(metadata, context) {
    writeTextParameters(metadata, context);
    const { hparams, rope } = context;
    metadata.uint32(metadata.key('context_length'), orElse(hparams, 'max_position_embeddings', 131_072));
    metadata.uint32(metadata.key('attention.head_count'), orElse(hparams, 'num_attention_heads', 8));
    metadata.float32(metadata.key('attention.layer_norm_rms_epsilon'), orElse(hparams, 'rms_norm_eps', 1e-6));
    metadata.uint32(metadata.key('attention.key_length'), orElse(hparams, 'head_dim', 256));
    metadata.uint32(metadata.key('attention.value_length'), orElse(hparams, 'head_dim', 256));
    metadata.float32(metadata.key('rope.freq_base'), rope.full.rope_theta ?? 1_000_000);
    const cap = hparams.get('final_logit_softcapping');
    if (typeof cap === 'number' && cap !== 0) metadata.float32(metadata.key('final_logit_softcapping'), cap);
    if (hparams.get('sliding_window_pattern') !== 1) {
      metadata.uint32(metadata.key('attention.sliding_window'), hparams.get('sliding_window'));
    }
    metadata.uint32(metadata.key('attention.head_count_kv'), orElse(hparams, 'num_key_value_heads', 4));
  },

  async writeVocabulary(metadata, context) {
    if (!hasSentencePiece(context)) return writeBpe(metadata, context);
    await writeSentencePiece(metadata, context);
    metadata.bool('tokenizer.ggml.add_space_prefix', false);
  },
};

function orElse(hparams: Hparams, key: string, fallback: number): unknown {
  return hparams.has(key) ? hparams.get(key) : fallback;
}

function shiftedNorm(rule: TensorRule): TensorRule {
  return rule.source.endsWith('norm') ? { ...rule, change: { kind: 'add-one' } } : rule;
}

/** Rows of the embedding that belong to a token; a tokenizer.model is filled up to all of them. */
async function usedVocabulary({ folder, signal }: ConversionContext, size: number): Promise<number> {
  if (folder.has('tokenizer.model')) return size;
  const tokenizer = await folder.json('tokenizer.json', signal);
  const model = isJsonObject(tokenizer?.model) ? tokenizer.model : {};
  const trained = isJsonObject(model.vocab) ? Object.keys(model.vocab).length : size;
  return trained + (Array.isArray(tokenizer?.added_tokens) ? tokenizer.added_tokens.length : 0);
}
