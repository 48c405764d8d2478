/** @file Qwen3 (dense): Qwen2 with norms of queries and keys, and without biases. */
import { BitsmithError } from '@bitsmith/formats';
import { type ConversionContext, dimensionsOf, type Family, tiedEmbeddings } from '../family.js';
import {
  attentionRules,
  blockNormRules,
  feedForwardRules,
  headNormRules,
  outerRules,
  preNorms,
} from '../tensors/rules.js';
import { qwen2 } from './qwen2.js';

export const qwen3: Family = {
  ...qwen2,
  ggufArchitecture: 'qwen3',
  architectures: ['Qwen3ForCausalLM'],

  async check(context) {
    if (!(await isReranker(context))) return;
    throw new BitsmithError(
      'unsupported',
      'MODEL_VARIANT',
      'this Qwen3 model ranks texts, it does not write them',
      {
        expected: 'a Qwen3 language model',
        found: 'a Qwen3 reranker',
        suggestion: "Convert it with llama.cpp's own converter, and give the GGUF.",
      },
    );
  },

  async tensorRules({ hparams }) {
    const d = dimensionsOf(hparams);
    return [
      ...outerRules(d, { tied: tiedEmbeddings(hparams) }),
      ...blockNormRules(d, preNorms),
      ...attentionRules(d),
      ...headNormRules(d),
      ...feedForwardRules(d),
    ];
  },
};

const RERANKER = /qwen3-(vl-)?reranker/;

/** Rerankers share the architecture's name; only their own names tell them apart. */
async function isReranker({ folder, hparams, signal }: ConversionContext): Promise<boolean> {
  const names = [folder.name, hparams.get('_name_or_path')].filter((name) => typeof name === 'string');
  if (names.some((name) => RERANKER.test(name.toLowerCase()))) return true;
  if (!folder.has('README.md')) return false;
  return /# qwen3-(vl-)?reranker/.test((await folder.text('README.md', signal)).toLowerCase());
}
