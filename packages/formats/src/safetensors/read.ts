/**
 * @file Reads the header of a safetensors file: a uint64 length, that many bytes of JSON, then tensor data without gaps.
 * Everything the reference reader refuses is refused, and repeated JSON keys besides.
 */
import { readBytes, type ByteSource } from '../io/byte-source.js';
import { isJsonObject, parseStrictJson, type JsonObject } from '../text/json.js';
import { decodeUtf8 } from '../text/utf8.js';
import {
  isSafetensorsDtype,
  safetensorsDtypeNames,
  safetensorsDtypes,
  type SafetensorsDtype,
} from './dtypes.js';
import { safetensorsError } from './fail.js';
import type { SafetensorsFile, SafetensorsTensorInfo } from './types.js';
import { describeJson, quote } from '../text/quote.js';

/** The reference reader's own limit. */
export const MAX_HEADER_BYTES = 100_000_000;
const LENGTH_BYTES = 8;
/** Deeper shapes do not exist in practice; the limit bounds error messages and loops. */
const MAX_AXES = 64;
const METADATA_KEY = '__metadata__';

/**
 * Reads metadata and tensor table.
 * @throws BitsmithError with a `SAFETENSORS_*` code: kind `unsupported` for element types outside the specification, kind
 * `validation` for anything damaged.
 */
export async function readSafetensors(
  source: ByteSource,
  options: { signal?: AbortSignal } = {},
): Promise<SafetensorsFile> {
  options.signal?.throwIfAborted();
  const headerBytes = await readHeaderLength(source, options.signal);
  const dataOffset = LENGTH_BYTES + headerBytes;
  const header = parseHeader(await readBytes(source, LENGTH_BYTES, headerBytes, options.signal));
  const tensors: SafetensorsTensorInfo[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name !== METADATA_KEY) tensors.push(parseTensor(name, value, dataOffset, source.byteLength));
  }
  tensors.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  refuseGaps(tensors, dataOffset, source.byteLength);
  return {
    metadata: parseMetadata(header[METADATA_KEY]),
    tensors,
    dataOffset,
    byteLength: source.byteLength,
  };
}

async function readHeaderLength(source: ByteSource, signal: AbortSignal | undefined): Promise<number> {
  if (source.byteLength < LENGTH_BYTES) {
    throw safetensorsError('SAFETENSORS_TRUNCATED', `the file has only ${source.byteLength} bytes`, {
      expected: `at least ${LENGTH_BYTES} bytes`,
      found: `${source.byteLength} bytes`,
    });
  }
  const view = new DataView((await readBytes(source, 0, LENGTH_BYTES, signal)).buffer);
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  if (length > MAX_HEADER_BYTES) {
    throw safetensorsError('SAFETENSORS_HEADER_SIZE', `the header declares ${length} bytes`, {
      expected: `at most ${MAX_HEADER_BYTES} bytes`,
      found: `${length} bytes`,
      suggestion: 'Check that the path names a safetensors file.',
    });
  }
  if (length > source.byteLength - LENGTH_BYTES) {
    throw safetensorsError(
      'SAFETENSORS_TRUNCATED',
      `the header declares ${length} bytes, more than the file has`,
      {
        expected: `at most ${source.byteLength - LENGTH_BYTES} bytes`,
        found: `${length} bytes`,
        suggestion: 'The file is incomplete: fetch it again.',
      },
    );
  }
  return length;
}

function parseHeader(bytes: Uint8Array): JsonObject {
  const text = decodeUtf8(bytes);
  if (text === undefined) throw safetensorsError('SAFETENSORS_HEADER', 'the header is not valid UTF-8');
  if (!text.startsWith('{')) {
    throw safetensorsError('SAFETENSORS_HEADER', 'the header does not start with "{"', {
      suggestion: 'Check that the path names a safetensors file.',
    });
  }
  const parsed = parseStrictJson(text);
  if ('problem' in parsed)
    throw safetensorsError('SAFETENSORS_HEADER', `the header is not valid: ${parsed.problem}`);
  if (!isJsonObject(parsed.value))
    throw safetensorsError('SAFETENSORS_HEADER', 'the header is not a JSON object');
  return parsed.value;
}

function parseMetadata(value: unknown): Map<string, string> {
  if (value === undefined) return new Map();
  const entries = isJsonObject(value) ? Object.entries(value) : undefined;
  if (entries?.every((entry): entry is [string, string] => typeof entry[1] === 'string'))
    return new Map(entries);
  throw safetensorsError('SAFETENSORS_METADATA', `${METADATA_KEY} is not an object of strings`, {
    expected: 'strings under string keys',
  });
}

const tensorKeys = new Set(['dtype', 'shape', 'data_offsets']);

function parseTensor(
  name: string,
  value: unknown,
  dataOffset: number,
  fileBytes: number,
): SafetensorsTensorInfo {
  if (!isJsonObject(value) || !Object.keys(value).every((key) => tensorKeys.has(key))) {
    throw safetensorsError('SAFETENSORS_TENSOR', `the entry of ${quote(name)} is not a tensor description`, {
      expected: 'an object of dtype, shape and data_offsets',
      found: describeJson(value),
    });
  }
  const dtype = parseDtype(name, value.dtype);
  const shape = parseShape(name, value.shape);
  const [begin, end] = parseOffsets(name, value.data_offsets);
  const byteLength = shape.reduce((product, extent) => product * extent, safetensorsDtypes[dtype] as number);
  if (end - begin !== byteLength) {
    throw safetensorsError('SAFETENSORS_TENSOR_BYTES', `${quote(name)} has ${end - begin} bytes of data`, {
      expected: `${byteLength} bytes for ${dtype} [${shape.join(', ')}]`,
      found: `${end - begin} bytes`,
    });
  }
  if (dataOffset + end > fileBytes) {
    throw safetensorsError('SAFETENSORS_TENSOR_OUTSIDE', `${quote(name)} ends after the file`, {
      expected: `an end at or before byte ${fileBytes}`,
      found: `byte ${dataOffset + end}`,
      suggestion: 'The file is incomplete: fetch it again.',
    });
  }
  return { name, dtype, shape, offset: dataOffset + begin, byteLength };
}

function parseDtype(name: string, dtype: unknown): SafetensorsDtype {
  if (isSafetensorsDtype(dtype)) return dtype;
  throw safetensorsError(
    'SAFETENSORS_DTYPE',
    `${quote(name)} has the element type ${describeJson(dtype)}`,
    {
      expected: safetensorsDtypeNames.join(', '),
      found: describeJson(dtype),
      suggestion: 'Export the model with one of the supported element types.',
    },
    'unsupported',
  );
}

function parseShape(name: string, shape: unknown): readonly number[] {
  if (Array.isArray(shape) && shape.length <= MAX_AXES && shape.every(isCount)) return shape;
  throw safetensorsError('SAFETENSORS_TENSOR', `the shape of ${quote(name)} is ${describeJson(shape)}`, {
    expected: `at most ${MAX_AXES} whole, non-negative numbers`,
    found: describeJson(shape),
  });
}

function parseOffsets(name: string, offsets: unknown): readonly [number, number] {
  if (Array.isArray(offsets) && offsets.length === 2 && offsets.every(isCount)) {
    const [begin, end] = offsets;
    if (begin <= end) return [begin, end];
  }
  throw safetensorsError(
    'SAFETENSORS_TENSOR',
    `the data_offsets of ${quote(name)} are ${describeJson(offsets)}`,
    {
      expected: 'two whole numbers, the first not above the second',
      found: describeJson(offsets),
    },
  );
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** The specification allows neither holes nor overlaps, up to the end of the file. */
function refuseGaps(tensors: readonly SafetensorsTensorInfo[], dataOffset: number, fileBytes: number): void {
  let end = dataOffset;
  for (const { name, offset, byteLength } of tensors) {
    if (offset !== end) {
      const what = offset < end ? 'shares bytes with the tensor before it' : 'leaves a hole before it';
      const code = offset < end ? 'SAFETENSORS_OVERLAP' : 'SAFETENSORS_HOLE';
      throw safetensorsError(code, `${quote(name)} ${what}`, {
        expected: `a start at byte ${end}`,
        found: `byte ${offset}`,
      });
    }
    end += byteLength;
  }
  if (end !== fileBytes) {
    throw safetensorsError(
      'SAFETENSORS_HOLE',
      `${fileBytes - end} bytes after the last tensor belong to none`,
      {
        expected: `a file of ${end} bytes`,
        found: `${fileBytes} bytes`,
      },
    );
  }
}
