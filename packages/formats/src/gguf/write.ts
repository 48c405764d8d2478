/**
 * @file Writes GGUF version 3 as ggml's own writer does, byte for byte: trailing axes of length 1 are dropped, the header
 * and every tensor (the last included) are padded with zeros to the alignment. `layoutGguf` is pure, so a file's exact
 * size is known before anything is encoded.
 */
import { alignUp } from '../io/align.js';
import { BoundedSink } from '../io/bounded-sink.js';
import type { ByteSink } from '../io/byte-sink.js';
import { ByteWriter } from '../io/byte-writer.js';
import { encodeUtf8 } from '../text/utf8.js';
import { checkedAlignment, metadataAlignment } from './alignment.js';
import { encodeMetadata } from './encode-metadata.js';
import { ggufError } from './fail.js';
import { ALIGNMENT_KEY, MAX_AXES, MAX_WRITTEN_TENSOR_NAME_BYTES } from './limits.js';
import { tensorByteLength, tensorTypes } from './tensor-types.js';
import type { GgufLayout, GgufMetadata, GgufTensorInfo, GgufTensorSpec } from './types.js';
import { quote } from '../text/quote.js';

const MAGIC = 0x46554747;
const VERSION = 3;

export interface GgufContents {
  readonly metadata: GgufMetadata;
  readonly tensors: readonly GgufTensorSpec[];
  /**
   * Bytes that tensor data is aligned to. Defaults to `general.alignment` in the metadata, else 32. A value other than 32
   * that the metadata does not name is added to it, since readers look for it there.
   */
  readonly alignment?: number;
}

/**
 * Lays a file out: header bytes, the place of every tensor, and the exact size of the finished file.
 * @throws BitsmithError `GGUF_*` when llama.cpp could not open the result (name too long, duplicate name, row that is not
 * a whole number of blocks, ...).
 */
export function layoutGguf(contents: GgufContents): GgufLayout {
  const { metadata, alignment } = alignedMetadata(contents);
  const specs = contents.tensors.map(checkedSpec);
  refuseDuplicates(specs);
  const placed = placeInOrder(specs, alignment);

  const writer = new ByteWriter();
  writer.uint32(MAGIC);
  writer.uint32(VERSION);
  writer.count64(specs.length);
  writer.count64(metadata.size);
  encodeMetadata(writer, metadata);
  for (const tensor of placed.tensors) encodeRecord(writer, tensor);
  writer.pad(alignment);

  const header = writer.toBytes();
  const tensors = placed.tensors.map((tensor) => ({ ...tensor, offset: tensor.offset + header.byteLength }));
  return { header, tensors, alignment, byteLength: header.byteLength + placed.byteLength };
}

/** Writes one tensor's data: exactly `tensor.byteLength` bytes into `sink`, in any number of pieces. */
export type GgufTensorWriter = (tensor: GgufTensorInfo, index: number, sink: ByteSink) => Promise<void>;

/**
 * Writes a laid-out file from start to end. `writeTensor` is called once a tensor, in order; padding is added here.
 * @throws BitsmithError `GGUF_TENSOR_BYTES` when a tensor's writer gives more or fewer bytes than the layout says.
 */
export async function writeGguf(
  sink: ByteSink,
  layout: GgufLayout,
  writeTensor: GgufTensorWriter,
  options: { signal?: AbortSignal } = {},
): Promise<void> {
  const { signal } = options;
  signal?.throwIfAborted();
  await sink.write(layout.header, signal);
  const padding = new Uint8Array(layout.alignment);
  for (const [index, tensor] of layout.tensors.entries()) {
    signal?.throwIfAborted();
    const bounded = new BoundedSink(sink, tensor.byteLength, (found) => byteCountError(tensor, found));
    await writeTensor(tensor, index, bounded);
    bounded.finish();
    const padBytes = alignUp(tensor.byteLength, layout.alignment) - tensor.byteLength;
    if (padBytes > 0) await sink.write(padding.subarray(0, padBytes), signal);
  }
}

function byteCountError(tensor: GgufTensorInfo, found: number): Error {
  return ggufError('GGUF_TENSOR_BYTES', `tensor ${quote(tensor.name)} got ${found} bytes of data`, {
    expected: `${tensor.byteLength} bytes of ${tensor.type}`,
    found: `${found} bytes`,
    suggestion: 'Encode every row of the tensor, in the type that the layout names.',
  });
}

function alignedMetadata(contents: GgufContents): { metadata: GgufMetadata; alignment: number } {
  const { metadata } = contents;
  const stored = metadataAlignment(metadata);
  const alignment = checkedAlignment(contents.alignment ?? stored);
  if (alignment === stored) return { metadata, alignment };
  const amended = new Map(metadata);
  amended.set(ALIGNMENT_KEY, { type: 'uint32', value: alignment });
  return { metadata: amended, alignment };
}

/** ggml stores no trailing axes of length 1. */
function checkedSpec(spec: GgufTensorSpec): GgufTensorSpec {
  const nameBytes = encodeUtf8(spec.name, 'a tensor name').byteLength;
  if (nameBytes === 0 || nameBytes > MAX_WRITTEN_TENSOR_NAME_BYTES) {
    throw ggufError('GGUF_TENSOR_NAME', `the tensor name ${quote(spec.name)} is ${nameBytes} bytes long`, {
      expected: `1 to ${MAX_WRITTEN_TENSOR_NAME_BYTES} bytes, ggml's limit`,
      found: `${nameBytes} bytes`,
      suggestion: 'Shorten the name.',
    });
  }
  if (
    spec.shape.length > MAX_AXES ||
    !spec.shape.every((extent) => Number.isSafeInteger(extent) && extent > 0)
  ) {
    throw ggufError('GGUF_TENSOR_SHAPE', `tensor ${quote(spec.name)} has shape [${spec.shape.join(', ')}]`, {
      expected: `at most ${MAX_AXES} axes of at least 1`,
      suggestion: 'Reshape the tensor; ggml stores no empty tensors.',
    });
  }
  const axes = spec.shape.findLastIndex((extent) => extent !== 1) + 1;
  return { name: spec.name, type: spec.type, shape: axes === 0 ? [1] : spec.shape.slice(0, axes) };
}

function refuseDuplicates(specs: readonly GgufTensorSpec[]): void {
  const names = new Set<string>();
  for (const { name } of specs) {
    if (names.has(name)) {
      throw ggufError('GGUF_DUPLICATE_TENSOR', `tensor ${quote(name)} appears twice`, {
        expected: 'unique tensor names',
        suggestion: 'Rename or drop one of the two.',
      });
    }
    names.add(name);
  }
}

/** Offsets relative to the data section, in the given order, each tensor padded to the alignment. */
function placeInOrder(
  specs: readonly GgufTensorSpec[],
  alignment: number,
): { tensors: GgufTensorInfo[]; byteLength: number } {
  let offset = 0;
  const tensors = specs.map((spec) => {
    const byteLength = tensorByteLength(spec.type, spec.shape);
    const tensor = { ...spec, offset, byteLength };
    offset = alignUp(offset + byteLength, alignment);
    return tensor;
  });
  return { tensors, byteLength: offset };
}

function encodeRecord(writer: ByteWriter, tensor: GgufTensorInfo): void {
  writer.lengthPrefixed(tensor.name, 'a tensor name');
  writer.uint32(tensor.shape.length);
  for (const extent of tensor.shape) writer.count64(extent);
  writer.uint32(tensorTypes[tensor.type].id);
  writer.count64(tensor.offset);
}
