/** @file Decodes the tensor table of a GGUF and checks that every tensor lies inside the file, on its own bytes. */
import type { WindowedReader } from '../io/windowed-reader.js';
import { decodeUtf8 } from '../text/utf8.js';
import { ggufError } from './fail.js';
import * as limits from './limits.js';
import { checkCount, readStringBytes } from './read-metadata.js';
import { elementCount, tensorTypeById, tensorTypes, type TensorType } from './tensor-types.js';
import type { GgufTensorInfo } from './types.js';
import { quote } from '../text/quote.js';

/** Smallest tensor record: name length, axis count, type, offset. */
const MIN_RECORD_BYTES = 24;

/** A tensor record; `offset` counts from the start of the data section. */
export async function readTensorRecords(reader: WindowedReader, count: number): Promise<GgufTensorInfo[]> {
  checkCount('tensors', count, limits.MAX_TENSORS, MIN_RECORD_BYTES, reader.remaining);
  const tensors: GgufTensorInfo[] = [];
  const names = new Set<string>();
  for (let index = 0; index < count; index++) {
    const tensor = await readRecord(reader, index);
    if (names.has(tensor.name)) {
      throw ggufError('GGUF_DUPLICATE_TENSOR', `tensor ${quote(tensor.name)} appears twice`, {
        expected: 'unique tensor names',
      });
    }
    names.add(tensor.name);
    tensors.push(tensor);
  }
  return tensors;
}

async function readRecord(reader: WindowedReader, index: number): Promise<GgufTensorInfo> {
  const nameBytes = await readStringBytes(
    reader,
    limits.MAX_TENSOR_NAME_BYTES,
    `the name of tensor ${index}`,
  );
  const name = decodeUtf8(nameBytes);
  if (name === undefined || name === '') {
    throw ggufError(
      'GGUF_TENSOR_NAME',
      `the name of tensor ${index} is ${name === '' ? 'empty' : 'not valid UTF-8'}`,
    );
  }
  if (!reader.has(4)) await reader.load(4, `the axes of ${quote(name)}`);
  const axes = reader.uint32();
  if (axes > limits.MAX_AXES) {
    throw ggufError('GGUF_TENSOR_SHAPE', `tensor ${quote(name)} has ${axes} axes`, {
      expected: `at most ${limits.MAX_AXES} axes`,
      found: String(axes),
    });
  }
  const bytes = axes * 8 + 12;
  if (!reader.has(bytes)) await reader.load(bytes, `the shape of ${quote(name)}`);
  const shape = Array.from({ length: axes }, () => reader.count64());
  // ggml treats a tensor without axes as one number.
  if (axes === 0) shape.push(1);
  const type = knownTensorType(reader.uint32(), name);
  const byteLength = checkedByteLength(name, type, shape);
  return { name, type, shape, offset: reader.count64(), byteLength };
}

function knownTensorType(id: number, name: string): TensorType {
  const type = tensorTypeById(id);
  if (type !== undefined) return type;
  throw ggufError(
    'GGUF_TENSOR_TYPE',
    `tensor ${quote(name)} has the unknown type ${id}`,
    {
      expected: 'a tensor type of ggml as of llama.cpp v0.4.0',
      found: String(id),
      suggestion:
        'The file is damaged, or newer or older than this program: export it again with a matching llama.cpp.',
    },
    'unsupported',
  );
}

function checkedByteLength(name: string, type: TensorType, shape: readonly number[]): number {
  const { blockSize, blockBytes } = tensorTypes[type];
  const elements = elementCount(shape);
  const byteLength = (elements / blockSize) * blockBytes;
  if (shape.every(Number.isSafeInteger) && shape[0] % blockSize === 0 && Number.isSafeInteger(byteLength)) {
    return byteLength;
  }
  throw ggufError(
    'GGUF_TENSOR_SHAPE',
    `tensor ${quote(name)} of type ${type} has shape [${shape.join(', ')}]`,
    {
      expected: `rows of a multiple of ${blockSize} weights, and fewer than 2^53 bytes in all`,
      found: `[${shape.join(', ')}]`,
    },
  );
}

/** Turns offsets into absolute ones and refuses tensors that are misaligned, outside the file, or share bytes. */
export function placeTensors(
  records: readonly GgufTensorInfo[],
  dataOffset: number,
  alignment: number,
  fileBytes: number,
): GgufTensorInfo[] {
  const tensors = records.map((record) => {
    if (record.offset % alignment !== 0) {
      throw ggufError('GGUF_TENSOR_OFFSET', `tensor ${quote(record.name)} starts at ${record.offset}`, {
        expected: `a multiple of the alignment ${alignment}`,
        found: String(record.offset),
      });
    }
    const offset = dataOffset + record.offset;
    if (offset + record.byteLength > fileBytes) {
      throw ggufError('GGUF_TENSOR_OUTSIDE', `tensor ${quote(record.name)} ends after the file`, {
        expected: `an end at or before byte ${fileBytes}`,
        found: `byte ${offset + record.byteLength}`,
        suggestion: 'The file is incomplete: fetch it again.',
      });
    }
    return { ...record, offset };
  });
  refuseOverlap(tensors);
  return tensors;
}

function refuseOverlap(tensors: readonly GgufTensorInfo[]): void {
  const byOffset = tensors.filter((tensor) => tensor.byteLength > 0).sort((a, b) => a.offset - b.offset);
  for (let index = 1; index < byOffset.length; index++) {
    const before = byOffset[index - 1];
    const tensor = byOffset[index];
    if (before.offset + before.byteLength > tensor.offset) {
      throw ggufError(
        'GGUF_TENSOR_OVERLAP',
        `tensors ${quote(before.name)} and ${quote(tensor.name)} share bytes`,
        {
          expected: `a start at or after byte ${before.offset + before.byteLength}`,
          found: `byte ${tensor.offset}`,
        },
      );
    }
  }
}
