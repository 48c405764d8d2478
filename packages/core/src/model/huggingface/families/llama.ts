/** @file Llama, from the first to 3.x, and everything that is saved as one. */
import { BitsmithError } from '@bitsmith/formats';
import { writeTextParameters } from '../config/text-parameters.js';
import { type ConversionContext, dimensionsOf, type Family, tiedEmbeddings } from '../family.js';
import type { MetadataBuilder } from '../metadata-builder.js';
import { attentionRules, blockNormRules, feedForwardRules, outerRules, preNorms } from '../tensors/rules.js';
import { isLlamaTokenizer } from '../tokenizer/llama-vocabulary.js';
import { readSpecialVocabulary, writeSpecialVocabulary } from '../tokenizer/special-vocabulary.js';
import {
  hasSentencePiece,
  writeBpe,
  writeLlamaTokenizer,
  writeSentencePiece,
} from '../tokenizer/write-tokenizer.js';
import { llama3RopeFactors } from './llama3-rope.js';

/** Vocabulary sizes that tell two kinds of model apart whose configurations do not. */
const CODE_LLAMA_VOCABULARY = 32_016;
const GRANITE_SMALL_VOCABULARY = 49_152;
const codeLlamaIds = { prefix: 32_007, suffix: 32_008, middle: 32_009, eot: 32_010 };

export const llama: Family = {
  ggufArchitecture: 'llama',
  architectures: ['LlamaForCausalLM', 'LLaMAForCausalLM'],

  async check({ hparams, folder, signal }) {
    if (hparams.has('draft_vocab_size')) throw variantError('an EAGLE draft model', 'draft_vocab_size');
    const tokenizer = (await folder.json('tokenizer_config.json', signal))?.tokenizer_class;
    if (tokenizer === 'HybridDNATokenizer') throw variantError('a DNA tokenizer', tokenizer);
    if (folder.has('tekken.json') && !folder.has('tokenizer.json')) {
      throw variantError('a tokenizer in tekken.json only', 'tekken.json');
    }
    const { headWidth } = dimensionsOf(hparams);
    if (headWidth % 2 !== 0) throw variantError('heads of odd width', `head_dim ${headWidth}`);
  },

  async tensorRules({ hparams }) {
    const d = dimensionsOf(hparams);
    return [
      ...outerRules(d, { tied: tiedEmbeddings(hparams) }),
      ...blockNormRules(d, preNorms),
      ...attentionRules(d, { weave: true }),
      ...feedForwardRules(d),
    ];
  },

  computedTensors(_metadata, { hparams, rope }) {
    const values = llama3RopeFactors(rope.full, dimensionsOf(hparams).headWidth);
    return values === undefined ? [] : [{ name: 'rope_freqs.weight', values }];
  },

  async writeParameters(metadata, context) {
    writeTextParameters(metadata, context);
    metadata.uint32(metadata.key('vocab_size'), context.hparams.count('vocab_size'));
    metadata.uint32(metadata.key('rope.dimension_count'), dimensionsOf(context.hparams).headWidth);
  },

  async writeVocabulary(metadata, context) {
    const { folder, hparams, signal } = context;
    const tokenizerConfig = (await folder.json('tokenizer_config.json', signal)) ?? {};
    const prefix = tokenizerConfig.add_prefix_space;
    if (typeof prefix === 'boolean') metadata.bool('tokenizer.ggml.add_space_prefix', prefix);
    await writeAnyTokenizer(metadata, context);
    const size = hparams.count('vocab_size');
    if (size === CODE_LLAMA_VOCABULARY) {
      const options = { roles: Object.keys(codeLlamaIds), fallbackIds: codeLlamaIds };
      writeSpecialVocabulary(metadata, await readSpecialVocabulary(folder, options, signal));
    }
    if (size === GRANITE_SMALL_VOCABULARY) metadata.bool('tokenizer.ggml.add_bos_token', false);
  },
};

async function writeAnyTokenizer(metadata: MetadataBuilder, context: ConversionContext): Promise<void> {
  if (hasSentencePiece(context)) return writeSentencePiece(metadata, context);
  const tokenizer = await context.folder.json('tokenizer.json', context.signal);
  if (tokenizer !== undefined && isLlamaTokenizer(tokenizer)) return writeLlamaTokenizer(metadata, context);
  return writeBpe(metadata, context);
}

function variantError(what: string, found: string): BitsmithError {
  return new BitsmithError(
    'unsupported',
    'MODEL_VARIANT',
    `this Llama model has ${what}, which is not converted here`,
    {
      expected: 'a plain Llama model',
      found,
      suggestion: "Convert it with llama.cpp's own converter, and give the GGUF.",
    },
  );
}
