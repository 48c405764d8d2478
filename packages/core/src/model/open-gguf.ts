/** @file A GGUF, whole or in splits, as the pipeline sees it. */
import path from 'node:path';
import {
  BitsmithError,
  elementCount,
  type GgufFile,
  type GgufMetadata,
  type GgufTensorInfo,
  readGguf,
  type TensorType,
} from '@bitsmith/formats';
import { FileSource } from '../io/file-source.js';
import { canonicalJson, sha256 } from '../io/hash.js';
import type { ArtifactStore } from '../run/store.js';
import { blockOf, roleOf } from './roles.js';
import { splitPaths } from './split-paths.js';
import type { ModelTensor, SourceModel } from './types.js';

/** Opens a GGUF for reading; only headers are read. `location` is what the user named. */
export async function openGguf(
  ggufPath: string,
  store: ArtifactStore,
  options: { location?: string; signal?: AbortSignal } = {},
): Promise<SourceModel> {
  const { signal } = options;
  const first = await readHeader(ggufPath, signal);
  const paths = splitPaths(ggufPath, first.metadata);
  const headers = [first, ...(await Promise.all(paths.slice(1).map((file) => readHeader(file, signal))))];
  const architecture = text(first.metadata, 'general.architecture') ?? missingArchitecture(ggufPath);
  const tensors = headers.flatMap((header) => header.tensors).map((tensor) => describe(tensor, architecture));
  refuseBrokenSet(tensors, first.metadata, ggufPath);
  const hashes = [];
  for (const file of paths) hashes.push(await store.fileHash(file, signal));
  return {
    location: options.location ?? ggufPath,
    ggufPath,
    files: paths.map((file, index) => ({ path: file, byteLength: headers[index].byteLength })),
    sha256: hashes.length === 1 ? hashes[0] : sha256(canonicalJson(hashes)),
    architecture,
    name: text(first.metadata, 'general.name') ?? path.basename(ggufPath, '.gguf'),
    metadata: first.metadata,
    tensors,
    parameterCount: tensors.reduce((sum, tensor) => sum + tensor.elements, 0),
    byteLength: headers.reduce((sum, header) => sum + header.byteLength, 0),
    dtype: mostCommonType(tensors),
  };
}

async function readHeader(file: string, signal: AbortSignal | undefined): Promise<GgufFile> {
  const source = await FileSource.open(file, signal);
  try {
    return await readGguf(source, { signal });
  } finally {
    await source.close();
  }
}

function text(metadata: GgufMetadata, key: string): string | undefined {
  const value = metadata.get(key);
  return value?.type === 'string' && typeof value.value === 'string' ? value.value : undefined;
}

function missingArchitecture(file: string): never {
  throw new BitsmithError(
    'unsupported',
    'GGUF_NOT_A_MODEL',
    `expected a model with the key general.architecture in ${file}, found none`,
    {
      suggestion: 'Name a GGUF of a model; importance matrices and vocabularies alone cannot be quantized.',
    },
  );
}

function describe(tensor: GgufTensorInfo, architecture: string): ModelTensor {
  return {
    name: tensor.name,
    type: tensor.type,
    shape: tensor.shape,
    elements: elementCount(tensor.shape),
    byteLength: tensor.byteLength,
    role: roleOf(tensor.name, architecture),
    block: blockOf(tensor.name),
  };
}

/** A set of splits is one model only when no tensor is missing or there twice. */
function refuseBrokenSet(tensors: readonly ModelTensor[], metadata: GgufMetadata, file: string): void {
  const names = new Set(tensors.map((tensor) => tensor.name));
  if (names.size !== tensors.length) {
    throw new BitsmithError(
      'validation',
      'GGUF_SPLIT_INCONSISTENT',
      `the splits of ${file} hold the same tensor twice`,
    );
  }
  const declared = metadata.get('split.tensors.count');
  if (declared !== undefined && typeof declared.value === 'number' && declared.value !== tensors.length) {
    throw new BitsmithError(
      'validation',
      'GGUF_SPLIT_INCONSISTENT',
      `expected ${declared.value} tensors in the splits of ${file}, found ${tensors.length}`,
      { suggestion: 'Fetch all parts of the same model again.' },
    );
  }
  if (tensors.length === 0) {
    throw new BitsmithError('validation', 'GGUF_NO_TENSORS', `expected tensors in ${file}, found none`);
  }
}

function mostCommonType(tensors: readonly ModelTensor[]): TensorType {
  const elements = new Map<TensorType, number>();
  for (const tensor of tensors) elements.set(tensor.type, (elements.get(tensor.type) ?? 0) + tensor.elements);
  return [...elements].reduce((most, entry) => (entry[1] > most[1] ? entry : most))[0];
}
