/** @file The three ways a family's tokenizer is written, each with its special tokens. */
import type { ConversionContext } from '../family.js';
import type { MetadataBuilder } from '../metadata-builder.js';
import { loadAutoTokenizer } from './auto-tokenizer.js';
import { bpeVocabulary } from './bpe-vocabulary.js';
import { llamaVocabulary } from './llama-vocabulary.js';
import { mustDenyBos, preTokenizerOf } from './pre-tokenizer.js';
import { readSentencePieceVocabulary, type SentencePieceOptions } from './sentencepiece-vocabulary.js';
import { readSpecialVocabulary, writeSpecialVocabulary } from './special-vocabulary.js';
import { type Vocabulary, writeVocabulary } from './vocabulary.js';

export function hasSentencePiece(context: ConversionContext): boolean {
  return context.folder.has('tokenizer.model');
}

/** `tokenizer.model`. */
export async function writeSentencePiece(
  metadata: MetadataBuilder,
  context: ConversionContext,
  addedTokens: SentencePieceOptions['addedTokens'] = 'shared',
): Promise<void> {
  const { folder, hparams, signal } = context;
  const size = hparams.get('vocab_size');
  const options = { addedTokens, vocabularySize: typeof size === 'number' && size > 0 ? size : undefined };
  await writeScored(metadata, context, await readSentencePieceVocabulary(folder, options, signal));
}

/** A `tokenizer.json` that is SentencePiece in all but name. */
export async function writeLlamaTokenizer(
  metadata: MetadataBuilder,
  context: ConversionContext,
): Promise<void> {
  const { folder, config, signal } = context;
  await writeScored(metadata, context, llamaVocabulary(await loadAutoTokenizer(folder, config.raw, signal)));
}

async function writeScored(
  metadata: MetadataBuilder,
  { folder, signal }: ConversionContext,
  vocabulary: Vocabulary,
): Promise<void> {
  writeVocabulary(metadata, vocabulary);
  const options = { vocabularySize: vocabulary.tokens.length };
  writeSpecialVocabulary(metadata, await readSpecialVocabulary(folder, options, signal));
}

/** A byte-level BPE `tokenizer.json`. */
export async function writeBpe(metadata: MetadataBuilder, context: ConversionContext): Promise<void> {
  const { folder, config, hparams, signal } = context;
  const tokenizer = await loadAutoTokenizer(folder, config.raw, signal);
  const preTokenizer = preTokenizerOf(tokenizer);
  writeVocabulary(metadata, bpeVocabulary(tokenizer, hparams.count('vocab_size'), preTokenizer.name));
  const special = await readSpecialVocabulary(folder, { loadMerges: true }, signal);
  writeSpecialVocabulary(metadata, special);
  if (mustDenyBos(preTokenizer) && !special.adds.has('bos'))
    metadata.bool('tokenizer.ggml.add_bos_token', false);
}
