/** @file Model folders in memory, and the smallest Llama that converts. */
import {
  BitsmithError,
  type ByteSource,
  encodeFloats,
  type FloatDtype,
  isFloatDtype,
  layoutSafetensors,
  MemorySink,
  MemorySource,
  type SafetensorsTensorSpec,
  writeSafetensors,
} from '@bitsmith/formats';
import {
  convertHuggingFace,
  type ConvertedModel,
  type FolderReader,
} from '../../../../src/model/huggingface/index.js';

export type Files = Record<string, string | Uint8Array | object>;

export class MemoryFolder implements FolderReader {
  readonly name: string;
  private readonly files: Files;

  constructor(name: string, files: Files) {
    this.name = name;
    this.files = files;
  }

  async list(): Promise<readonly string[]> {
    return Object.keys(this.files);
  }

  async open(path: string): Promise<ByteSource> {
    return new MemorySource(this.bytes(path));
  }

  async readText(path: string): Promise<string> {
    return new TextDecoder().decode(this.bytes(path));
  }

  private bytes(path: string): Uint8Array {
    const file = this.files[path];
    if (file === undefined)
      throw new BitsmithError('model-not-found', 'FILE_NOT_FOUND', `no such file: ${path}`);
    if (file instanceof Uint8Array) return file;
    return new TextEncoder().encode(typeof file === 'string' ? file : JSON.stringify(file));
  }
}

/** Values that tell every element from its neighbours and fit every float type. */
export function values(count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, index) => ((index * 7) % 64) / 32 - 1);
}

export async function safetensors(specs: readonly SafetensorsTensorSpec[]): Promise<Uint8Array> {
  const sink = new MemorySink();
  await writeSafetensors(sink, layoutSafetensors({ tensors: specs }), async (tensor, _index, target) => {
    const count = tensor.shape.reduce((product, extent) => product * extent, 1);
    const { dtype } = tensor;
    await target.write(
      isFloatDtype(dtype) ? encodeFloats(dtype, values(count)) : new Uint8Array(tensor.byteLength),
    );
  });
  return sink.toBytes();
}

export const tinyConfig = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 260,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
};

export function tinyTensors(dtype: FloatDtype = 'BF16'): SafetensorsTensorSpec[] {
  const block = 'model.layers.0.';
  const shapes: Record<string, number[]> = {
    'model.embed_tokens.weight': [260, 8],
    'model.norm.weight': [8],
    'lm_head.weight': [260, 8],
    [`${block}input_layernorm.weight`]: [8],
    [`${block}post_attention_layernorm.weight`]: [8],
    [`${block}self_attn.q_proj.weight`]: [8, 8],
    [`${block}self_attn.k_proj.weight`]: [4, 8],
    [`${block}self_attn.v_proj.weight`]: [4, 8],
    [`${block}self_attn.o_proj.weight`]: [8, 8],
    [`${block}mlp.gate_proj.weight`]: [12, 8],
    [`${block}mlp.up_proj.weight`]: [12, 8],
    [`${block}mlp.down_proj.weight`]: [8, 12],
  };
  return Object.entries(shapes).map(([name, shape]) => ({ name, dtype, shape }));
}

/** Byte-level BPE without merges: every byte is a token, as in the alphabet of GPT-2. */
export function tinyTokenizer(): Record<string, unknown> {
  const printable = (byte: number): boolean => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let next = 256;
  const vocab: Record<string, number> = {};
  for (let byte = 0; byte < 256; byte += 1) {
    vocab[String.fromCharCode(printable(byte) ? byte : next)] = byte;
    if (!printable(byte)) next += 1;
  }
  return {
    version: '1.0',
    added_tokens: [
      {
        id: 256,
        content: '<|end|>',
        special: true,
        normalized: false,
        lstrip: false,
        rstrip: false,
        single_word: false,
      },
    ],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', vocab, merges: [], unk_token: null, byte_fallback: false, ignore_merges: false },
  };
}

export async function tinyFiles(changes: Files = {}): Promise<Files> {
  return {
    'config.json': tinyConfig,
    'model.safetensors': await safetensors(tinyTensors()),
    'tokenizer.json': tinyTokenizer(),
    'tokenizer_config.json': { tokenizer_class: 'PreTrainedTokenizerFast', eos_token: '<|end|>' },
    ...changes,
  };
}

export function without(files: Files, ...names: readonly string[]): Files {
  return Object.fromEntries(Object.entries(files).filter(([name]) => !names.includes(name)));
}

export function convert(files: Files, name = 'tiny'): Promise<ConvertedModel> {
  return convertHuggingFace(new MemoryFolder(name, files));
}

export async function produced(model: ConvertedModel, name: string): Promise<Uint8Array> {
  const tensor = model.tensors.find(({ spec }) => spec.name === name);
  if (tensor === undefined) throw new Error(`no tensor ${name}`);
  const sink = new MemorySink();
  await tensor.produce(sink);
  return sink.toBytes();
}
