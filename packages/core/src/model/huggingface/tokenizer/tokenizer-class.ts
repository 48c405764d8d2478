/**
 * @file What a tokenizer class of transformers adds to a `tokenizer.json`: special tokens that it assumes when the folder names
 * none, and whether it frames every text with them.
 */
import type { JsonObject } from '../folder.js';

export interface TokenizerClass {
  /** Special tokens that hold unless tokenizer_config.json says otherwise. */
  readonly defaults: Readonly<Record<string, string>>;
  /** Whether the class replaces the post-processor by one that adds the tokens around a text, as `add_bos_token` says. */
  readonly framesText: boolean;
}

const END_OF_TEXT = '<|endoftext|>';

const generic: TokenizerClass = { defaults: {}, framesText: false };
const llama: TokenizerClass = {
  defaults: { unk_token: '<unk>', bos_token: '<s>', eos_token: '</s>' },
  framesText: true,
};
const gemma: TokenizerClass = {
  defaults: { unk_token: '<unk>', bos_token: '<bos>', eos_token: '<eos>', pad_token: '<pad>' },
  framesText: true,
};
const qwen2: TokenizerClass = {
  defaults: { unk_token: END_OF_TEXT, eos_token: END_OF_TEXT, pad_token: END_OF_TEXT },
  framesText: false,
};
const gpt2: TokenizerClass = {
  defaults: { unk_token: END_OF_TEXT, bos_token: END_OF_TEXT, eos_token: END_OF_TEXT },
  framesText: false,
};

const classes: Readonly<Record<string, TokenizerClass>> = {
  LlamaTokenizer: llama,
  CodeLlamaTokenizer: llama,
  GemmaTokenizer: gemma,
  Qwen2Tokenizer: qwen2,
  GPT2Tokenizer: gpt2,
};

const classOfModelType: Readonly<Record<string, TokenizerClass>> = {
  llama,
  mistral: llama,
  phi3: llama,
  gemma3: gemma,
  gemma3_text: gemma,
  qwen2,
  qwen3: qwen2,
};

/** By the class that the folder names, else by the model's type; a class not known here adds nothing. */
export function tokenizerClass(tokenizerConfig: JsonObject, modelConfig: JsonObject): TokenizerClass {
  const named = tokenizerConfig.tokenizer_class ?? modelConfig.tokenizer_class;
  if (typeof named === 'string') {
    const base = named.replace(/Fast$/, '');
    return Object.hasOwn(classes, base) ? classes[base] : generic;
  }
  const type = modelConfig.model_type;
  return typeof type === 'string' && Object.hasOwn(classOfModelType, type) ? classOfModelType[type] : generic;
}
