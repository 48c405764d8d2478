/** @file A vocabulary ready to be written, whatever it was read from. */
import type { GgufString } from '@bitsmith/formats';
import type { MetadataBuilder } from '../metadata-builder.js';

export interface Vocabulary {
  /** llama.cpp's name for the algorithm: byte-level BPE or SentencePiece. */
  readonly model: 'gpt2' | 'llama';
  /** llama.cpp's name for the pre-tokenizer. */
  readonly preTokenizer: string;
  readonly tokens: readonly GgufString[];
  readonly types: readonly number[];
  /** SentencePiece only. */
  readonly scores?: readonly number[];
}

export function writeVocabulary(metadata: MetadataBuilder, vocabulary: Vocabulary): void {
  metadata.string('tokenizer.ggml.model', vocabulary.model);
  metadata.string('tokenizer.ggml.pre', vocabulary.preTokenizer);
  metadata.stringArray('tokenizer.ggml.tokens', vocabulary.tokens);
  if (vocabulary.scores !== undefined) metadata.float32Array('tokenizer.ggml.scores', vocabulary.scores);
  metadata.int32Array('tokenizer.ggml.token_type', vocabulary.types);
}
