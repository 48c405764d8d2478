/**
 * @file Models over several safetensors files: `model.safetensors.index.json` names, for each tensor, the file that holds
 * it. File names come from the internet and are joined to a local folder, so only plain names are let through.
 */
import { BitsmithError } from '../errors.js';
import { readBytes, type ByteSource } from '../io/byte-source.js';
import { isJsonObject, parseStrictJson } from '../text/json.js';
import { decodeUtf8 } from '../text/utf8.js';
import { safetensorsError } from './fail.js';
import { readSafetensors } from './read.js';
import type { SafetensorsFile, SafetensorsTensorInfo } from './types.js';
import { quote } from '../text/quote.js';

/** Indexes of the largest models are a few megabytes. */
const MAX_INDEX_BYTES = 100_000_000;
const MAX_NAME_LENGTH = 255;

export interface ShardIndex {
  /** Tensor name to file name. */
  readonly weightMap: ReadonlyMap<string, string>;
  /** The file names, each once, sorted. */
  readonly files: readonly string[];
}

export interface SafetensorsShard {
  readonly name: string;
  readonly source: ByteSource;
  readonly file: SafetensorsFile;
}

export interface ShardedTensorInfo extends SafetensorsTensorInfo {
  /** Index into `shards`. */
  readonly shard: number;
}

export interface ShardedSafetensors {
  /** Tensors that the index names, in the order of shards and of data. */
  readonly tensors: readonly ShardedTensorInfo[];
  readonly shards: readonly SafetensorsShard[];
  /** Tensors that a shard holds and the index does not name. Other readers leave them out. */
  readonly unlisted: readonly string[];
}

/**
 * Reads an index file.
 * @throws BitsmithError `SHARD_INDEX` for anything but an object with a `weight_map` of strings, `SHARD_NAME` for a file
 * name that is not a plain name.
 */
export async function readShardIndex(
  source: ByteSource,
  options: { signal?: AbortSignal } = {},
): Promise<ShardIndex> {
  options.signal?.throwIfAborted();
  if (source.byteLength > MAX_INDEX_BYTES) throw indexError(`the index has ${source.byteLength} bytes`);
  const text = decodeUtf8(await readBytes(source, 0, source.byteLength, options.signal));
  if (text === undefined) throw indexError('the index is not valid UTF-8');
  return parseShardIndex(text);
}

/** The same from text. */
export function parseShardIndex(text: string): ShardIndex {
  const parsed = parseStrictJson(text);
  if ('problem' in parsed) throw indexError(`the index is not valid: ${parsed.problem}`);
  const map = isJsonObject(parsed.value) ? parsed.value.weight_map : undefined;
  if (!isJsonObject(map)) throw indexError('the index has no weight_map');
  const weightMap = new Map<string, string>();
  for (const [tensor, file] of Object.entries(map)) {
    if (typeof file !== 'string') throw indexError(`the weight_map of ${quote(tensor)} is not a file name`);
    checkFileName(file);
    weightMap.set(tensor, file);
  }
  if (weightMap.size === 0) throw indexError('the weight_map is empty');
  return { weightMap, files: [...new Set(weightMap.values())].sort() };
}

/**
 * Opens all shards of an index and resolves its tensors.
 * @param open gives the bytes of a file by its plain name; closing them stays with the caller.
 * @throws BitsmithError `SHARD_MISSING` when a file cannot be opened, `SHARD_TENSOR_MISSING` when a file lacks a tensor that
 * the index promises, and everything that `readSafetensors` throws.
 */
export async function readShardedSafetensors(
  index: ShardIndex,
  open: (name: string) => Promise<ByteSource>,
  options: { signal?: AbortSignal } = {},
): Promise<ShardedSafetensors> {
  const shards: SafetensorsShard[] = [];
  for (const name of index.files) {
    options.signal?.throwIfAborted();
    const source = await openShard(name, open, options.signal);
    shards.push({ name, source, file: await readSafetensors(source, options) });
  }
  const all = shards.flatMap(({ file }, shard) => file.tensors.map((tensor) => ({ ...tensor, shard })));
  const isListed = ({ name, shard }: ShardedTensorInfo): boolean =>
    index.weightMap.get(name) === shards[shard].name;
  const tensors = all.filter(isListed);
  const found = new Set(tensors.map(({ name }) => name));
  for (const [tensor, file] of index.weightMap) if (!found.has(tensor)) throw missingTensor(tensor, file);
  const unlisted = all.filter((tensor) => !isListed(tensor)).map(({ name }) => name);
  return { tensors, shards, unlisted };
}

/** Refuses everything that is not the plain name of a file beside the index. */
function checkFileName(name: string): void {
  const plain =
    name.length <= MAX_NAME_LENGTH &&
    name.endsWith('.safetensors') &&
    !name.startsWith('.') &&
    // Separators of either system, drive letters and stream names, and control characters.
    !/[/\\:\p{Cc}]/u.test(name);
  if (plain) return;
  throw safetensorsError('SHARD_NAME', `the index names the file ${quote(name)}`, {
    expected: 'a plain file name ending in .safetensors, beside the index',
    found: name.slice(0, MAX_NAME_LENGTH),
    suggestion: 'Do not use this model unless you trust where it comes from; correct its index otherwise.',
  });
}

async function openShard(
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
      'SHARD_MISSING',
      `safetensors: the file ${name} cannot be opened`,
      {
        expected: `the file ${name}, which the index names`,
        found: cause instanceof Error ? cause.message : String(cause),
        suggestion: 'Put all files of the model into one folder.',
        cause,
      },
    );
  }
}

function missingTensor(tensor: string, file: string): Error {
  return safetensorsError('SHARD_TENSOR_MISSING', `${file} does not hold ${quote(tensor)}`, {
    expected: `the tensor ${tensor} in ${file}, as the index says`,
    found: 'no such tensor there',
  });
}

function indexError(message: string): Error {
  return safetensorsError('SHARD_INDEX', message, {
    expected: 'a JSON object with a weight_map from tensor names to file names',
  });
}
