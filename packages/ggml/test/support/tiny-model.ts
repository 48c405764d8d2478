/**
 * @file A tiny Llama of random weights with a byte-level vocabulary, written as GGUF: every row is a multiple of 256, so
 * every type can store it, and llama.cpp runs it in milliseconds.
 */
import {
  type GgufMetadata,
  type GgufTensorSpec,
  type GgufValue,
  layoutGguf,
  MemorySink,
  MemorySource,
  readGguf,
  type TensorType,
  writeGguf,
} from '@bitsmith/formats';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { weights } from './random.js';

export const hidden = 256;
const feedForward = 512;
const blocks = 2;
const context = 128;

/** GPT-2's printable stand-ins for the 256 bytes, then one merge and one control token. */
function vocabulary(): { tokens: string[]; types: number[]; merges: string[] } {
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  const bytes = Array.from({ length: 256 }, (_, byte) =>
    String.fromCodePoint(printable(byte) ? byte : next++),
  );
  return {
    tokens: [...bytes, 'th', 'the', '<|end|>', ...Array.from({ length: 5 }, (_, i) => `<|unused${i}|>`)],
    types: [...bytes.map(() => 1), 1, 1, 3, 5, 5, 5, 5, 5],
    merges: ['t h', 'th e'],
  };
}

export const vocabularySize = 264;
export const endToken = 258;

export interface TinyModelOptions {
  /** The embedding serves as output head as well. */
  tied?: boolean;
  /** Experts in each block instead of one feed-forward network. */
  experts?: number;
}

function metadata({ experts }: TinyModelOptions): GgufMetadata {
  const { tokens, types, merges } = vocabulary();
  const u32 = (value: number): GgufValue => ({ type: 'uint32', value });
  const text = (value: string): GgufValue => ({ type: 'string', value });
  return new Map<string, GgufValue>([
    ['general.architecture', text('llama')],
    ['general.name', text('tiny')],
    ['llama.block_count', u32(blocks)],
    ['llama.context_length', u32(context)],
    ['llama.embedding_length', u32(hidden)],
    ['llama.feed_forward_length', u32(feedForward)],
    ['llama.attention.head_count', u32(4)],
    ['llama.attention.head_count_kv', u32(4)],
    ['llama.attention.layer_norm_rms_epsilon', { type: 'float32', value: 1e-5 }],
    ['llama.rope.dimension_count', u32(64)],
    ['llama.vocab_size', u32(vocabularySize)],
    ['tokenizer.ggml.model', text('gpt2')],
    ['tokenizer.ggml.pre', text('gpt-2')],
    ['tokenizer.ggml.tokens', { type: 'array', itemType: 'string', value: tokens }],
    ['tokenizer.ggml.token_type', { type: 'array', itemType: 'int32', value: Int32Array.from(types) }],
    ['tokenizer.ggml.merges', { type: 'array', itemType: 'string', value: merges }],
    ['tokenizer.ggml.eos_token_id', u32(endToken)],
    ['tokenizer.ggml.bos_token_id', u32(endToken)],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: true }],
    ['tokenizer.chat_template', text('{{ messages }}')],
    ...(experts === undefined
      ? []
      : ([
          ['llama.expert_count', u32(experts)],
          ['llama.expert_used_count', u32(2)],
        ] as const)),
  ]);
}

function tensorSpecs({ tied = false, experts }: TinyModelOptions = {}): GgufTensorSpec[] {
  const matrix = (name: string, rowLength: number, rows: number): GgufTensorSpec => ({
    name,
    type: 'F32',
    shape: [rowLength, rows],
  });
  const norm = (name: string): GgufTensorSpec => ({ name, type: 'F32', shape: [hidden] });
  const dense = (index: number): GgufTensorSpec[] => [
    matrix(`blk.${index}.ffn_gate.weight`, hidden, feedForward),
    matrix(`blk.${index}.ffn_up.weight`, hidden, feedForward),
    matrix(`blk.${index}.ffn_down.weight`, feedForward, hidden),
  ];
  const mixture = (index: number, count: number): GgufTensorSpec[] => [
    matrix(`blk.${index}.ffn_gate_inp.weight`, hidden, count),
    { name: `blk.${index}.ffn_gate_exps.weight`, type: 'F32', shape: [hidden, feedForward, count] },
    { name: `blk.${index}.ffn_up_exps.weight`, type: 'F32', shape: [hidden, feedForward, count] },
    { name: `blk.${index}.ffn_down_exps.weight`, type: 'F32', shape: [feedForward, hidden, count] },
  ];
  const block = (index: number): GgufTensorSpec[] => [
    norm(`blk.${index}.attn_norm.weight`),
    matrix(`blk.${index}.attn_q.weight`, hidden, hidden),
    matrix(`blk.${index}.attn_k.weight`, hidden, hidden),
    matrix(`blk.${index}.attn_v.weight`, hidden, hidden),
    matrix(`blk.${index}.attn_output.weight`, hidden, hidden),
    norm(`blk.${index}.ffn_norm.weight`),
    ...(experts === undefined ? dense(index) : mixture(index, experts)),
  ];
  return [
    matrix('token_embd.weight', hidden, vocabularySize),
    ...Array.from({ length: blocks }, (_, index) => block(index)).flat(),
    norm('output_norm.weight'),
    ...(tied ? [] : [matrix('output.weight', hidden, vocabularySize)]),
  ];
}

/** Names of the matrices, in the file's order. */
export const matrixNames: readonly string[] = tensorSpecs()
  .filter((spec) => spec.shape.length === 2)
  .map((spec) => spec.name);

export async function writeTinyModel(file: string, options: TinyModelOptions = {}): Promise<void> {
  const layout = layoutGguf({ metadata: metadata(options), tensors: tensorSpecs(options) });
  const sink = new MemorySink();
  await writeGguf(sink, layout, async (tensor, index, out) => {
    const count = tensor.byteLength / 4;
    const values =
      tensor.shape.length === 1 ? new Float32Array(count).fill(1) : weights(count, index + 1, 0.15);
    await out.write(new Uint8Array(values.buffer));
  });
  writeFileSync(file, sink.toBytes());
}

export interface LoadedTensor {
  readonly type: TensorType;
  readonly rowLength: number;
  readonly rows: number;
  readonly bytes: Uint8Array;
}

/** All tensors of a GGUF file, in memory. */
export async function loadTensors(file: string): Promise<Map<string, LoadedTensor>> {
  const bytes = new Uint8Array(readFileSync(file));
  const gguf = await readGguf(new MemorySource(bytes));
  return new Map(
    gguf.tensors.map(({ name, type, shape, offset, byteLength }) => [
      name,
      {
        type,
        rowLength: shape[0],
        rows: shape.slice(1).reduce((product, extent) => product * extent, 1),
        bytes: bytes.subarray(offset, offset + byteLength),
      },
    ]),
  );
}

/** A folder for one test file, and its removal. */
export function temporaryFolder(): { at: (name: string) => string; remove: () => void } {
  const folder = mkdtempSync(path.join(tmpdir(), 'bitsmith-ggml-'));
  return {
    at: (name) => path.join(folder, name),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
