/**
 * @file Reads llama.cpp's GGUF importance files: for each weight tensor NAME the float32 tensors `NAME.in_sum2`
 * `[columns, matrices]` and `NAME.counts` `[1, matrices]`, and from some writers `NAME.in_sum`.
 */
import { getNumberOrUndefined, getRawStringArray, getStringOrUndefined } from '../gguf/metadata.js';
import { readGguf } from '../gguf/read.js';
import { elementCount } from '../gguf/tensor-types.js';
import type { GgufFile, GgufMetadata, GgufTensorInfo } from '../gguf/types.js';
import { readBytes, type ByteSource } from '../io/byte-source.js';
import { asImatrixErrors, imatrixError } from './fail.js';
import * as names from './names.js';
import { readLegacyImatrix } from './read-legacy.js';
import type { ImportanceEntry, ImportanceExtra, ImportanceMatrix } from './types.js';
import { checkEntry } from './validate.js';
import { quote } from '../text/quote.js';

type Tensors = ReadonlyMap<string, ImportanceExtra>;

/**
 * Reads the GGUF form.
 * @throws BitsmithError of kind `importance-file`: `IMATRIX_*`, or the `GGUF_*` code of a damaged container.
 */
export async function readImatrix(
  source: ByteSource,
  options: { signal?: AbortSignal } = {},
): Promise<ImportanceMatrix> {
  return asImatrixErrors(async () => {
    const file = await readGguf(source, options);
    checkType(file.metadata);
    const tensors = await readTensors(source, file, options.signal);
    const { entries, extra } = pairTensors(tensors);
    return {
      datasets: datasetNames(file.metadata),
      chunkCount: requiredCount(file.metadata, names.CHUNK_COUNT_KEY),
      chunkSize: requiredCount(file.metadata, names.CHUNK_SIZE_KEY),
      entries,
      extra,
      metadata: furtherMetadata(file.metadata),
    };
  });
}

/** Reads either form, told apart by the magic number. */
export async function readAnyImatrix(
  source: ByteSource,
  options: { signal?: AbortSignal } = {},
): Promise<ImportanceMatrix> {
  const magic = source.byteLength < 4 ? new Uint8Array(0) : await readBytes(source, 0, 4, options.signal);
  const isGguf = String.fromCharCode(...magic) === 'GGUF';
  return isGguf ? readImatrix(source, options) : readLegacyImatrix(source, options);
}

function checkType(metadata: GgufMetadata): void {
  const type = getStringOrUndefined(metadata, names.TYPE_KEY);
  // llama.cpp itself does not look at this key, so a file without it is accepted.
  if (type === undefined || type === names.TYPE_VALUE) return;
  throw imatrixError('IMATRIX_TYPE', `the GGUF file is of type ${quote(type)}`, {
    expected: `${names.TYPE_KEY} = "${names.TYPE_VALUE}"`,
    found: type,
    suggestion: 'Pass the importance matrix, not the model.',
  });
}

function requiredCount(metadata: GgufMetadata, key: string): number {
  const count = getNumberOrUndefined(metadata, key);
  if (count !== undefined && Number.isInteger(count) && count >= 0) return count;
  throw imatrixError(
    'IMATRIX_METADATA',
    `the key ${key} is ${count === undefined ? 'missing' : String(count)}`,
    {
      expected: 'a whole number',
      found: String(count),
    },
  );
}

function datasetNames(metadata: GgufMetadata): string[] {
  if (!metadata.has(names.DATASETS_KEY)) {
    throw imatrixError('IMATRIX_METADATA', `the key ${names.DATASETS_KEY} is missing`, {
      expected: 'the names of the texts, possibly none',
    });
  }
  // File names need not be UTF-8; here they are only shown to people.
  const shown = new TextDecoder();
  return getRawStringArray(metadata, names.DATASETS_KEY).map((name) =>
    typeof name === 'string' ? name : shown.decode(name),
  );
}

const knownKeys = new Set([names.TYPE_KEY, names.DATASETS_KEY, names.CHUNK_COUNT_KEY, names.CHUNK_SIZE_KEY]);

function furtherMetadata(metadata: GgufMetadata): GgufMetadata {
  return new Map([...metadata].filter(([key]) => !knownKeys.has(key)));
}

async function readTensors(
  source: ByteSource,
  file: GgufFile,
  signal: AbortSignal | undefined,
): Promise<Map<string, ImportanceExtra>> {
  if (file.tensors.length === 0) throw imatrixError('IMATRIX_EMPTY', 'the file has no entries');
  checkSizes(file.tensors);
  const tensors = new Map<string, ImportanceExtra>();
  for (const tensor of file.tensors) {
    const values = new Float32Array(elementCount(tensor.shape));
    await source.readInto(new Uint8Array(values.buffer), tensor.offset, signal);
    tensors.set(tensor.name, { shape: tensor.shape, values });
  }
  return tensors;
}

function checkSizes(tensors: readonly GgufTensorInfo[]): void {
  let total = 0;
  for (const { name, type, shape } of tensors) {
    if (type !== 'F32') {
      throw imatrixError('IMATRIX_TENSOR_TYPE', `the tensor ${quote(name)} is stored as ${type}`, {
        expected: 'F32',
        found: type,
      });
    }
    const count = elementCount(shape);
    total += count;
    if (count > names.MAX_TENSOR_VALUES || total > names.MAX_VALUES) {
      throw imatrixError(
        'IMATRIX_SIZE',
        `the tensor ${quote(name)} makes the file too large: ${total} values so far`,
        {
          expected: `at most ${names.MAX_TENSOR_VALUES} values a tensor, ${names.MAX_VALUES} in all`,
          found: String(count),
        },
      );
    }
  }
}

function pairTensors(tensors: Tensors): {
  entries: Map<string, ImportanceEntry>;
  extra: Map<string, ImportanceExtra>;
} {
  const entries = new Map<string, ImportanceEntry>();
  const extra = new Map<string, ImportanceExtra>();
  for (const [name, tensor] of tensors) {
    const owner = ownerOf(name, tensors);
    if (owner === undefined) extra.set(name, tensor);
    else if (!entries.has(owner)) entries.set(owner, readEntry(owner, tensors));
  }
  if (entries.size === 0) throw imatrixError('IMATRIX_EMPTY', 'the file has no entries');
  return { entries, extra };
}

/** The weight tensor that a stored tensor describes. Sums of an unknown tensor are kept as they are. */
function ownerOf(name: string, tensors: Tensors): string | undefined {
  for (const suffix of [names.SQUARES_SUFFIX, names.COUNTS_SUFFIX]) {
    if (name.endsWith(suffix)) return name.slice(0, -suffix.length);
  }
  if (!name.endsWith(names.SUMS_SUFFIX)) return undefined;
  const owner = name.slice(0, -names.SUMS_SUFFIX.length);
  return tensors.has(owner + names.SQUARES_SUFFIX) ? owner : undefined;
}

function readEntry(name: string, tensors: Tensors): ImportanceEntry {
  const squares = tensors.get(name + names.SQUARES_SUFFIX);
  const counts = tensors.get(name + names.COUNTS_SUFFIX);
  if (squares === undefined || counts === undefined) {
    const missing = squares === undefined ? names.SQUARES_SUFFIX : names.COUNTS_SUFFIX;
    throw imatrixError('IMATRIX_UNPAIRED', `the tensor ${quote(name + missing)} is missing`, {
      expected: `tensors ending in ${names.SQUARES_SUFFIX} and ${names.COUNTS_SUFFIX}`,
      found: 'one of the two',
    });
  }
  const matrices = counts.values.length;
  const inSum = tensors.get(name + names.SUMS_SUFFIX)?.values;
  const entry: ImportanceEntry = {
    columns: Math.floor(squares.values.length / Math.max(1, matrices)),
    matrices,
    inSum2: squares.values,
    counts: counts.values,
    ...(inSum === undefined ? {} : { inSum }),
  };
  checkEntry(name, entry);
  return entry;
}
