/** @file What the converter must know of a model family. */
import type { ModelConfig } from './config/load-config.js';
import type { Hparams } from './config/hparams.js';
import type { RopeParameters } from './config/rope-parameters.js';
import type { ModelFolder } from './folder.js';
import type { MetadataBuilder } from './metadata-builder.js';
import type { Dimensions, TensorRule } from './tensors/rules.js';

/** A model being converted. */
export interface ConversionContext {
  readonly folder: ModelFolder;
  readonly config: ModelConfig;
  readonly hparams: Hparams;
  readonly rope: RopeParameters;
  readonly blockCount: number;
  /** llama.cpp's number for the type of the matrices. */
  readonly fileType: number;
  readonly signal: AbortSignal | undefined;
}

/** A small tensor that the folder does not hold: it follows from the configuration. */
export interface ComputedTensor {
  readonly name: string;
  readonly values: Float32Array;
}

export interface Family {
  /** GGUF's name of the architecture. */
  readonly ggufArchitecture: string;
  /** Names in `architectures` of config.json. */
  readonly architectures: readonly string[];
  /** Refuses variants that share the name but not the shape. */
  check?(context: ConversionContext): Promise<void>;
  tensorRules(context: ConversionContext): Promise<readonly TensorRule[]>;
  /** Runs before any other key is written. */
  computedTensors?(metadata: MetadataBuilder, context: ConversionContext): readonly ComputedTensor[];
  writeParameters(metadata: MetadataBuilder, context: ConversionContext): Promise<void>;
  writeVocabulary(metadata: MetadataBuilder, context: ConversionContext): Promise<void>;
}

/** The extents of a decoder by their usual names in config.json. */
export function dimensionsOf(hparams: Hparams): Dimensions {
  const hidden = hparams.count('hidden_size');
  const heads = hparams.count('num_attention_heads');
  return {
    vocabulary: hparams.count('vocab_size'),
    hidden,
    feedForward: hparams.count('intermediate_size'),
    heads,
    kvHeads: hparams.get('num_key_value_heads') === undefined ? heads : hparams.count('num_key_value_heads'),
    headWidth: hparams.get('head_dim') === undefined ? Math.floor(hidden / heads) : hparams.count('head_dim'),
  };
}

export function tiedEmbeddings(hparams: Hparams): boolean {
  return hparams.get('tie_word_embeddings') === true;
}
