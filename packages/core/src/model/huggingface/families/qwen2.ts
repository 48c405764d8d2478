/** @file Qwen2 and Qwen2.5 (text). */
import { writePooling } from '../config/pooling.js';
import { writeTextParameters } from '../config/text-parameters.js';
import { dimensionsOf, type Family, tiedEmbeddings } from '../family.js';
import { attentionRules, blockNormRules, feedForwardRules, outerRules, preNorms } from '../tensors/rules.js';
import { hasSentencePiece, writeBpe, writeSentencePiece } from '../tokenizer/write-tokenizer.js';

export const qwen2: Family = {
  ggufArchitecture: 'qwen2',
  architectures: ['Qwen2ForCausalLM'],

  async tensorRules({ hparams }) {
    const d = dimensionsOf(hparams);
    return [
      ...outerRules(d, { tied: tiedEmbeddings(hparams) }),
      ...blockNormRules(d, preNorms),
      ...attentionRules(d, { needsBias: true }),
      ...feedForwardRules(d),
    ];
  },

  async writeParameters(metadata, context) {
    writeTextParameters(metadata, context);
    await writePooling(metadata, context.folder, context.signal);
  },

  writeVocabulary: (metadata, context) =>
    hasSentencePiece(context) ? writeSentencePiece(metadata, context) : writeBpe(metadata, context),
};
