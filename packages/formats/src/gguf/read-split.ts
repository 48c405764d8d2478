/**
 * @file Reads a model that is split over several GGUF files as one. As in llama.cpp, the first file carries the metadata
 * and each file carries `split.no`, `split.count` and `split.tensors.count`; here all of them must agree.
 */
import { BitsmithError } from '../errors.js';
import type { ByteSource } from '../io/byte-source.js';
import { ggufError } from './fail.js';
import { getNumberOrUndefined } from './metadata.js';
import { readGguf } from './read.js';
import { parseSplitName, splitName } from './split-name.js';
import type { GgufFile, GgufMetadata, GgufTensorInfo } from './types.js';
import { quote } from '../text/quote.js';

export const SPLIT_NO_KEY = 'split.no';
export const SPLIT_COUNT_KEY = 'split.count';
export const SPLIT_TENSORS_KEY = 'split.tensors.count';

export interface GgufPart {
  readonly name: string;
  readonly source: ByteSource;
  readonly file: GgufFile;
}

/** A tensor and the part whose bytes hold it; `offset` counts in that part. */
export interface SplitTensorInfo extends GgufTensorInfo {
  /** Index into `parts`. */
  readonly part: number;
}

export interface GgufSplitSet {
  /** Metadata of the whole model: the first part's, without the `split.*` keys. */
  readonly metadata: GgufMetadata;
  readonly tensors: readonly SplitTensorInfo[];
  readonly parts: readonly GgufPart[];
}

/**
 * Opens a GGUF model by the name of its file, or of any one of its split files.
 * @param open gives the bytes of a file by name, in the same folder form as `name`; closing them stays with the caller.
 * @throws BitsmithError `GGUF_SPLIT_MISSING` when a part cannot be opened, `GGUF_SPLIT_INCONSISTENT` when the parts do not
 * form one model, and everything that `readGguf` throws.
 */
export async function readSplitGguf(
  name: string,
  open: (name: string) => Promise<ByteSource>,
  options: { signal?: AbortSignal } = {},
): Promise<GgufSplitSet> {
  const split = parseSplitName(name);
  const count = split?.count ?? 1;
  const parts: GgufPart[] = [];
  for (let index = 0; index < count; index++) {
    options.signal?.throwIfAborted();
    const partName = split === undefined ? name : splitName(split.prefix, index, count);
    const source = count === 1 ? await open(partName) : await openPart(partName, open, options.signal);
    const file = await readGguf(source, options);
    checkPart(partName, file.metadata, index, count);
    parts.push({ name: partName, source, file });
  }
  const tensors = joinTensors(parts);
  checkTensorTotal(parts, tensors.length);
  return { metadata: withoutSplitKeys(parts[0].file.metadata), tensors, parts };
}

async function openPart(
  name: string,
  open: (name: string) => Promise<ByteSource>,
  signal: AbortSignal | undefined,
): Promise<ByteSource> {
  try {
    return await open(name);
  } catch (cause) {
    signal?.throwIfAborted();
    throw new BitsmithError(
      'model-not-found',
      'GGUF_SPLIT_MISSING',
      `GGUF: the split file ${name} cannot be opened`,
      {
        expected: `the file ${name}`,
        found: cause instanceof Error ? cause.message : String(cause),
        suggestion: 'Put all files of the split model into one folder.',
        cause,
      },
    );
  }
}

function checkPart(name: string, metadata: GgufMetadata, index: number, count: number): void {
  const declaredCount = getNumberOrUndefined(metadata, SPLIT_COUNT_KEY) ?? 1;
  if (declaredCount !== count && !(count === 1 && declaredCount === 0)) {
    throw inconsistent(name, `${SPLIT_COUNT_KEY} ${count}, as the file's name says`, String(declaredCount));
  }
  const declaredIndex = getNumberOrUndefined(metadata, SPLIT_NO_KEY) ?? (count === 1 ? 0 : undefined);
  if (declaredIndex !== index) throw inconsistent(name, `${SPLIT_NO_KEY} ${index}`, String(declaredIndex));
}

function joinTensors(parts: readonly GgufPart[]): SplitTensorInfo[] {
  const owners = new Map<string, string>();
  return parts.flatMap((part, index) =>
    part.file.tensors.map((tensor) => {
      const owner = owners.get(tensor.name);
      if (owner !== undefined) {
        throw inconsistent(part.name, `tensor ${quote(tensor.name)} in one file`, `also in ${owner}`);
      }
      owners.set(tensor.name, part.name);
      return { ...tensor, part: index };
    }),
  );
}

function checkTensorTotal(parts: readonly GgufPart[], total: number): void {
  for (const { name, file } of parts) {
    const declared = getNumberOrUndefined(file.metadata, SPLIT_TENSORS_KEY);
    if (declared !== undefined && declared !== total) {
      throw inconsistent(
        name,
        `${declared} tensors over all files (${SPLIT_TENSORS_KEY})`,
        `${total} tensors`,
      );
    }
  }
}

function withoutSplitKeys(metadata: GgufMetadata): GgufMetadata {
  const whole = new Map(metadata);
  for (const key of [SPLIT_NO_KEY, SPLIT_COUNT_KEY, SPLIT_TENSORS_KEY]) whole.delete(key);
  return whole;
}

function inconsistent(name: string, expected: string, found: string): Error {
  return ggufError('GGUF_SPLIT_INCONSISTENT', `${name}: expected ${expected}, found ${found}`, {
    expected,
    found,
    suggestion:
      'The files belong to different splits: fetch or export the whole set again, and keep its names.',
  });
}
