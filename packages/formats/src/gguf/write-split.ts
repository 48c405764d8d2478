/** @file Lays a model out over several GGUF files, as llama.cpp's gguf-split does. Mirrors `read-split.ts`. */
import { alignUp } from '../io/align.js';
import { metadataAlignment } from './alignment.js';
import { ggufError } from './fail.js';
import { DEFAULT_ALIGNMENT } from './limits.js';
import { SPLIT_COUNT_KEY, SPLIT_NO_KEY, SPLIT_TENSORS_KEY } from './read-split.js';
import { splitName } from './split-name.js';
import { tensorByteLength } from './tensor-types.js';
import type { GgufLayout, GgufMetadata, GgufTensorSpec, GgufValue } from './types.js';
import { ggufInt32, ggufUint16 } from './values.js';
import { layoutGguf, type GgufContents } from './write.js';

/** llama.cpp stores the number of files as uint16, and file names have five digits. */
const MAX_PARTS = 65_535;

export interface GgufSplitLayout {
  readonly name: string;
  readonly layout: GgufLayout;
}

/**
 * Distributes tensors in their order over files of at most `maxTensorBytes` of tensor data each (a tensor larger than that
 * gets a file of its own); metadata goes into the first. Write each layout with `writeGguf`.
 * @throws BitsmithError `GGUF_SPLIT_COUNT` when more than 65,535 files would be needed, and what `layoutGguf` throws.
 */
export function layoutSplitGguf(
  prefix: string,
  contents: GgufContents,
  maxTensorBytes: number,
): GgufSplitLayout[] {
  const groups = groupBySize(contents.tensors, maxTensorBytes);
  if (groups.length > MAX_PARTS || !(maxTensorBytes > 0)) {
    throw ggufError('GGUF_SPLIT_COUNT', `${groups.length} files of ${maxTensorBytes} bytes would be needed`, {
      expected: `at most ${MAX_PARTS} files`,
      found: String(groups.length),
      suggestion: 'Allow more bytes in each file.',
    });
  }
  const alignment = contents.alignment ?? metadataAlignment(contents.metadata);
  return groups.map((tensors, index) => {
    const metadata = partMetadata(
      index === 0 ? contents.metadata : new Map(),
      index,
      groups.length,
      contents.tensors.length,
    );
    return {
      name: splitName(prefix, index, groups.length),
      layout: layoutGguf({ metadata, tensors, alignment }),
    };
  });
}

function groupBySize(tensors: readonly GgufTensorSpec[], maxTensorBytes: number): GgufTensorSpec[][] {
  const groups: GgufTensorSpec[][] = [[]];
  let groupBytes = 0;
  for (const tensor of tensors) {
    const bytes = alignUp(tensorByteLength(tensor.type, tensor.shape), DEFAULT_ALIGNMENT);
    if (groupBytes > 0 && groupBytes + bytes > maxTensorBytes) {
      groups.push([]);
      groupBytes = 0;
    }
    groups[groups.length - 1].push(tensor);
    groupBytes += bytes;
  }
  return groups;
}

function partMetadata(
  base: GgufMetadata,
  index: number,
  count: number,
  tensors: number,
): Map<string, GgufValue> {
  const metadata = new Map(base);
  for (const key of [SPLIT_NO_KEY, SPLIT_TENSORS_KEY, SPLIT_COUNT_KEY]) metadata.delete(key);
  metadata.set(SPLIT_NO_KEY, ggufUint16(index));
  metadata.set(SPLIT_TENSORS_KEY, ggufInt32(tensors));
  metadata.set(SPLIT_COUNT_KEY, ggufUint16(count));
  return metadata;
}
