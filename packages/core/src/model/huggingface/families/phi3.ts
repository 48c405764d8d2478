/** @file Phi-3 and Phi-4 (text): fused projections, and two sets of rotary factors for short and long contexts. */
import { BitsmithError } from '@bitsmith/formats';
import type { ConversionContext, Family } from '../family.js';
import { dimensionsOf, tiedEmbeddings } from '../family.js';
import { blockNormRules, outerRules, preNorms, type TensorRule, type Dimensions } from '../tensors/rules.js';
import { hasSentencePiece, writeBpe, writeSentencePiece } from '../tokenizer/write-tokenizer.js';
import { phi3RopeFactors } from './phi3-rope.js';

export const phi3: Family = {
  ggufArchitecture: 'phi3',
  architectures: ['Phi3ForCausalLM'],

  async tensorRules({ hparams }) {
    const d = dimensionsOf(hparams);
    return [
      ...outerRules(d, { tied: tiedEmbeddings(hparams) }),
      ...blockNormRules(d, preNorms),
      ...fusedRules(d),
    ];
  },

  computedTensors(metadata, context) {
    const factors = phi3RopeFactors(context.rope.all, {
      context: contextLength(context),
      trainedContext: trainedContext(context),
      rotaryWidth: rotaryWidth(context),
    });
    if (factors === undefined) return [];
    metadata.float32(metadata.key('rope.scaling.attn_factor'), factors.attentionFactor);
    return [
      { name: 'rope_factors_long.weight', values: factors.long },
      { name: 'rope_factors_short.weight', values: factors.short },
    ];
  },

  async writeParameters(metadata, context) {
    const { hparams, rope, blockCount, fileType } = context;
    const d = dimensionsOf(hparams);
    metadata.uint32(metadata.key('context_length'), contextLength(context));
    metadata.uint32(metadata.key('rope.scaling.original_context_length'), trainedContext(context));
    metadata.uint32(metadata.key('embedding_length'), d.hidden);
    metadata.uint32(metadata.key('feed_forward_length'), d.feedForward);
    metadata.uint32(metadata.key('block_count'), blockCount);
    metadata.uint32(metadata.key('attention.head_count'), d.heads);
    metadata.uint32(metadata.key('attention.head_count_kv'), d.kvHeads);
    metadata.float32(metadata.key('attention.layer_norm_rms_epsilon'), hparams.get('rms_norm_eps'));
    metadata.uint32(metadata.key('rope.dimension_count'), rotaryWidth(context));
    metadata.float32(metadata.key('rope.freq_base'), rope.full.rope_theta);
    metadata.uint32('general.file_type', fileType);
    // A window of zero tells Phi-4, which has none, from the Phi-3 models that have.
    metadata.uint32(metadata.key('attention.sliding_window'), hparams.get('sliding_window') ?? 0);
  },

  async writeVocabulary(metadata, context) {
    const { folder, signal } = context;
    const tokenizerClass = (await folder.json('tokenizer_config.json', signal))?.tokenizer_class;
    if (tokenizerClass === 'GPT2Tokenizer') return writeBpe(metadata, context);
    if (hasSentencePiece(context)) return writeSentencePiece(metadata, context, 'phi3');
    throw new BitsmithError(
      'model-not-found',
      'TOKENIZER_MISSING',
      `the folder ${folder.name} has no tokenizer.model`,
      {
        expected: 'tokenizer.model, or a tokenizer_config.json that names GPT2Tokenizer',
        found: 'neither',
        suggestion: "Copy the tokenizer files of the model's original into the folder.",
      },
    );
  },
};

function fusedRules(d: Dimensions): TensorRule[] {
  const from = 'model.layers.#';
  const width = d.heads * d.headWidth;
  const qkv = width + 2 * d.kvHeads * d.headWidth;
  return [
    { source: `${from}.self_attn.qkv_proj`, target: 'blk.#.attn_qkv', shape: [qkv, d.hidden] },
    { source: `${from}.self_attn.o_proj`, target: 'blk.#.attn_output', shape: [d.hidden, width] },
    { source: `${from}.mlp.gate_up_proj`, target: 'blk.#.ffn_up', shape: [2 * d.feedForward, d.hidden] },
    { source: `${from}.mlp.down_proj`, target: 'blk.#.ffn_down', shape: [d.hidden, d.feedForward] },
  ];
}

function contextLength({ hparams }: ConversionContext): number {
  return hparams.count('n_positions', 'max_position_embeddings');
}

function trainedContext({ rope }: ConversionContext): number {
  const trained = rope.all.original_max_position_embeddings;
  if (typeof trained === 'number') return trained;
  throw new BitsmithError(
    'validation',
    'MODEL_CONFIG',
    'config.json lacks original_max_position_embeddings',
    {
      expected: 'the context length that the model was trained on',
      found: JSON.stringify(trained) ?? 'nothing',
      suggestion: "Restore the model's config.json.",
    },
  );
}

/** How many values of a head rotate. */
function rotaryWidth({ hparams, rope }: ConversionContext): number {
  const { hidden, heads } = dimensionsOf(hparams);
  const share = typeof rope.all.partial_rotary_factor === 'number' ? rope.all.partial_rotary_factor : 1;
  return Math.floor(Math.trunc(share * hidden) / heads);
}
