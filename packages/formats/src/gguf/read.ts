/**
 * @file Reads the header of a GGUF file, versions 2 and 3, little-endian: metadata and the tensor table. Tensor data is
 * left where it is; `GgufTensorInfo.offset` and `byteLength` say where. Format: the GGUF specification of ggml.
 */
import type { ByteSource } from '../io/byte-source.js';
import { alignUp } from '../io/align.js';
import { WindowedReader } from '../io/windowed-reader.js';
import { metadataAlignment } from './alignment.js';
import { ggufError } from './fail.js';
import { MAX_HEADER_BYTES } from './limits.js';
import { readMetadata } from './read-metadata.js';
import { placeTensors, readTensorRecords } from './read-tensors.js';
import type { GgufFile } from './types.js';

/** "GGUF" */
const MAGIC = [0x47, 0x47, 0x55, 0x46];
const PREAMBLE_BYTES = 24;

/**
 * Reads metadata and tensor table.
 * @throws BitsmithError with a `GGUF_*` code: kind `unsupported` for version 1, big-endian files and unknown tensor types,
 * kind `validation` for anything damaged.
 */
export async function readGguf(
  source: ByteSource,
  options: { signal?: AbortSignal } = {},
): Promise<GgufFile> {
  options.signal?.throwIfAborted();
  const reader = new WindowedReader(source, {
    truncated: { kind: 'validation', code: 'GGUF_TRUNCATED', format: 'GGUF' },
    limit: { position: MAX_HEADER_BYTES, error: headerSizeError },
    signal: options.signal,
  });
  const { version, tensorCount, keyCount } = await readPreamble(reader);
  const metadata = await readMetadata(reader, keyCount);
  const alignment = metadataAlignment(metadata);
  const records = await readTensorRecords(reader, tensorCount);
  // Files without tensors (a vocabulary alone) need no data section, and often end unpadded.
  const dataOffset = tensorCount === 0 ? reader.position : alignUp(reader.position, alignment);
  const tensors = placeTensors(records, dataOffset, alignment, source.byteLength);
  return { version, metadata, tensors, alignment, dataOffset, byteLength: source.byteLength };
}

function headerSizeError(): Error {
  return ggufError('GGUF_HEADER_SIZE', `the header passes ${MAX_HEADER_BYTES} bytes`, {
    expected: `a header of at most ${MAX_HEADER_BYTES} bytes`,
  });
}

interface Preamble {
  version: 2 | 3;
  tensorCount: number;
  keyCount: number;
}

async function readPreamble(reader: WindowedReader): Promise<Preamble> {
  await reader.load(4, 'the magic number');
  const magic = reader.take(4);
  if (!MAGIC.every((byte, index) => magic[index] === byte)) {
    throw ggufError('GGUF_MAGIC', 'the file does not start with "GGUF"', {
      expected: 'the bytes 47 47 55 46',
      found: `the bytes ${Array.from(magic, (byte) => byte.toString(16).padStart(2, '0')).join(' ')}`,
      suggestion: 'Check that the path names a GGUF file.',
    });
  }
  await reader.load(PREAMBLE_BYTES - 4, 'the file header');
  const version = supportedVersion(reader.uint32());
  return { version, tensorCount: reader.count64(), keyCount: reader.count64() };
}

function supportedVersion(version: number): 2 | 3 {
  if (version === 2 || version === 3) return version;
  // The version's low half is zero when its bytes stand in the other order.
  if (version !== 0 && version % 65_536 === 0) {
    throw ggufError(
      'GGUF_BIG_ENDIAN',
      'the file is big-endian, which is not supported',
      {
        expected: 'a little-endian file',
        suggestion: 'Convert it with gguf_convert_endian.py of llama.cpp, or export a little-endian file.',
      },
      'unsupported',
    );
  }
  throw ggufError(
    'GGUF_VERSION',
    `the file has format version ${version}`,
    {
      expected: 'version 2 or 3',
      found: String(version),
      suggestion: 'Export the model again with a current llama.cpp.',
    },
    'unsupported',
  );
}
