/**
 * @file Writes importance matrices as llama-imatrix does, byte for byte: the four keys, then each entry's `in_sum2` and
 * `counts` in the order of names. Sums, further tensors and further keys follow, which llama.cpp's readers ignore.
 */
import { elementCount } from '../gguf/tensor-types.js';
import type { GgufLayout, GgufMetadata, GgufTensorSpec, GgufValue } from '../gguf/types.js';
import { ggufString, ggufStringArray, ggufUint32 } from '../gguf/values.js';
import { layoutGguf, writeGguf } from '../gguf/write.js';
import type { ByteSink } from '../io/byte-sink.js';
import { imatrixError } from './fail.js';
import * as names from './names.js';
import type { ImportanceEntry, ImportanceMatrix } from './types.js';
import { checkEntry } from './validate.js';
import { quote } from '../text/quote.js';

export interface ImatrixLayout extends GgufLayout {
  /** Tensor data, in the order of `tensors`. */
  readonly values: readonly Float32Array[];
}

interface StoredTensor {
  readonly spec: GgufTensorSpec;
  readonly values: Float32Array;
}

/**
 * Lays the file out; `byteLength` is its exact size.
 * @throws BitsmithError `IMATRIX_SHAPE`, `IMATRIX_VALUE`, `IMATRIX_EMPTY`, `IMATRIX_NAME`, or a `GGUF_*` code for names
 * that llama.cpp could not open.
 */
export function layoutImatrix(matrix: ImportanceMatrix): ImatrixLayout {
  if (matrix.entries.size === 0) throw imatrixError('IMATRIX_EMPTY', 'there are no entries to write');
  const stored = [...entryTensors(matrix), ...extraTensors(matrix)];
  const layout = layoutGguf({ metadata: fileMetadata(matrix), tensors: stored.map(({ spec }) => spec) });
  return { ...layout, values: stored.map(({ values }) => values) };
}

export async function writeImatrix(
  sink: ByteSink,
  layout: ImatrixLayout,
  options: { signal?: AbortSignal } = {},
): Promise<void> {
  await writeGguf(
    sink,
    layout,
    async (_tensor, index, tensorSink) => {
      const { buffer, byteOffset, byteLength } = layout.values[index];
      await tensorSink.write(new Uint8Array(buffer, byteOffset, byteLength), options.signal);
    },
    options,
  );
}

function fileMetadata(matrix: ImportanceMatrix): GgufMetadata {
  const metadata = new Map<string, GgufValue>([
    [names.TYPE_KEY, ggufString(names.TYPE_VALUE)],
    [names.DATASETS_KEY, ggufStringArray(matrix.datasets)],
    [names.CHUNK_COUNT_KEY, ggufUint32(matrix.chunkCount)],
    [names.CHUNK_SIZE_KEY, ggufUint32(matrix.chunkSize)],
  ]);
  for (const [key, value] of matrix.metadata ?? []) if (!metadata.has(key)) metadata.set(key, value);
  return metadata;
}

function entryTensors(matrix: ImportanceMatrix): StoredTensor[] {
  return sortedByName(matrix.entries).flatMap(([name, entry]) => {
    checkEntry(name, entry);
    return storedEntry(name, entry);
  });
}

function storedEntry(name: string, entry: ImportanceEntry): StoredTensor[] {
  const { columns, matrices, inSum2, counts, inSum } = entry;
  const stored = [
    tensor(name + names.SQUARES_SUFFIX, [columns, matrices], inSum2),
    tensor(name + names.COUNTS_SUFFIX, [1, matrices], counts),
  ];
  if (inSum !== undefined) stored.push(tensor(name + names.SUMS_SUFFIX, [columns, matrices], inSum));
  return stored;
}

function extraTensors(matrix: ImportanceMatrix): StoredTensor[] {
  return sortedByName(matrix.extra).map(([name, { shape, values }]) => {
    if (name.endsWith(names.SQUARES_SUFFIX) || name.endsWith(names.COUNTS_SUFFIX)) {
      throw imatrixError('IMATRIX_NAME', `the further tensor ${quote(name)} has the name of an entry`, {
        expected: `a name without the endings ${names.SQUARES_SUFFIX} and ${names.COUNTS_SUFFIX}`,
        suggestion: 'Rename it.',
      });
    }
    if (elementCount(shape) !== values.length) {
      throw imatrixError('IMATRIX_SHAPE', `the tensor ${quote(name)} has ${values.length} values`, {
        expected: `${elementCount(shape)} values for [${shape.join(', ')}]`,
        found: `${values.length} values`,
        suggestion: 'Correct its shape.',
      });
    }
    return tensor(name, shape, values);
  });
}

function tensor(name: string, shape: readonly number[], values: Float32Array): StoredTensor {
  return { spec: { name, type: 'F32', shape }, values };
}

function sortedByName<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}
