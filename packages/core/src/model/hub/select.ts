/** @file Which files of a repository make a model that can be opened: safetensors with configuration and tokenizer, or one GGUF. */
import { BitsmithError } from '@bitsmith/formats';
import { isPlainPath } from './reference.js';

/** A file as the Hub lists it. */
export interface HubFile {
  readonly path: string;
  readonly byteLength: number;
  /** SHA-256 of the content, for files in large-file storage. */
  readonly sha256: string | null;
  /** Git's own hash of the content (`blob SIZE\0` + bytes), for files kept in git. */
  readonly gitOid: string | null;
}

export interface HubSelection {
  readonly files: readonly HubFile[];
  /** The list of shards, when there is one: it decides which safetensors belong to the model. */
  readonly shardIndex: HubFile | null;
  /** First GGUF of the model; null when the model is safetensors. */
  readonly gguf: string | null;
}

const indexName = 'model.safetensors.index.json';
const configuration =
  /^(?:config|generation_config|special_tokens_map|added_tokens|vocab)\.json$|^tokenizer[^/]*$|^[^/]+\.model$|^chat_template[^/]*$|^merges\.txt$|^README\.md$|^LICENSE[^/]*$/i;
const splitName = /^(?<stem>.*)-(?<number>\d{5})-of-(?<count>\d{5})\.gguf$/i;
/** GGUF files that hold no language model: vision projectors and importance matrices. */
const companion = /(?:^|\/)mmproj|imatrix/i;
const otherWeights = /\.(?:bin|pt|pth|msgpack|h5|onnx|ckpt)$/i;

/** @throws BitsmithError `HUB_PATH_UNSAFE` when a listed name would leave the folder it is downloaded to. */
export function assertSafeNames(repository: string, files: readonly HubFile[]): void {
  for (const { path } of files) {
    if (isPlainPath(path)) continue;
    throw new BitsmithError(
      'validation',
      'HUB_PATH_UNSAFE',
      `${repository} lists a file with an unsafe name`,
      {
        expected: 'names that stay inside the repository',
        found: JSON.stringify(path),
        suggestion: 'Do not use this repository; tell its owner to rename the file.',
      },
    );
  }
}

/**
 * Chooses what to download.
 * @param file a GGUF asked for by name, or null for the repository's model
 * @throws BitsmithError `HUB_NO_WEIGHTS`, `HUB_FILE_NOT_FOUND`, `HUB_FILE_AMBIGUOUS`, `HUB_SPLIT_INCOMPLETE`
 */
export function selectFiles(
  repository: string,
  files: readonly HubFile[],
  file: string | null,
): HubSelection {
  if (file !== null) return ggufSelection(repository, files, findNamed(repository, files, file));
  const root = files.filter(({ path }) => !path.includes('/'));
  const kept = root.filter(({ path }) => configuration.test(path));
  const index = root.find(({ path }) => path === indexName);
  if (index !== undefined) return { files: [...kept, index], shardIndex: index, gguf: null };
  const single = root.filter(({ path }) => path === 'model.safetensors');
  const weights = single.length > 0 ? single : root.filter(({ path }) => path.endsWith('.safetensors'));
  if (weights.length > 0) return { files: [...kept, ...weights], shardIndex: null, gguf: null };
  return ggufSelection(repository, files, onlyGguf(repository, files));
}

/** The shards that an index names, in order. @throws BitsmithError `HUB_INDEX_INVALID`, `HUB_SHARD_MISSING` */
export function shardsOf(repository: string, index: string, files: readonly HubFile[]): HubFile[] {
  const names = new Set(shardNames(repository, index));
  return [...names].sort().map((name) => {
    const file = files.find(({ path }) => path === name);
    if (file !== undefined) return file;
    throw new BitsmithError(
      'validation',
      'HUB_SHARD_MISSING',
      `${indexName} of ${repository} names ${JSON.stringify(name)}, which the repository does not have`,
      { suggestion: 'Try another revision with org/name@revision, or tell the owner of the repository.' },
    );
  });
}

function shardNames(repository: string, index: string): string[] {
  try {
    const { weight_map: map } = JSON.parse(index) as { weight_map?: unknown };
    if (map !== null && typeof map === 'object') {
      const names = Object.values(map);
      if (names.length > 0 && names.every((name): name is string => typeof name === 'string')) return names;
    }
  } catch {
    // Reported below, with what was expected.
  }
  throw new BitsmithError(
    'validation',
    'HUB_INDEX_INVALID',
    `${indexName} of ${repository} is not a list of shards`,
    {
      expected: 'a JSON object with "weight_map": {tensor: file}',
      suggestion: 'Try another revision with org/name@revision.',
    },
  );
}

/** One choice for each GGUF model: of split files, the first. */
function ggufModels(files: readonly HubFile[]): HubFile[] {
  return files.filter(({ path }) => {
    const split = splitName.exec(path)?.groups;
    return (
      /\.gguf$/i.test(path) && !companion.test(path) && (split === undefined || split['number'] === '00001')
    );
  });
}

function onlyGguf(repository: string, files: readonly HubFile[]): HubFile {
  const models = ggufModels(files);
  if (models.length === 1) return models[0];
  if (models.length > 1) throw severalGguf(repository, models, 'several models as GGUF, and none was named');
  const other = files.filter(({ path }) => otherWeights.test(path)).map(({ path }) => path);
  throw new BitsmithError(
    'unsupported',
    'HUB_NO_WEIGHTS',
    `${repository} has neither safetensors nor GGUF weights`,
    {
      expected: 'model.safetensors, model.safetensors.index.json with its shards, or a .gguf file',
      found: other.length > 0 ? some(other) : 'no weights',
      suggestion: 'Look for a safetensors or GGUF version of this model.',
    },
  );
}

function findNamed(repository: string, files: readonly HubFile[], name: string): HubFile {
  const ggufs = files.filter(({ path }) => /\.gguf$/i.test(path));
  const exact = ggufs.find(({ path }) => path === name || path.endsWith(`/${name}`));
  if (exact !== undefined) return exact;
  const models = ggufModels(files);
  const partial = models.filter(({ path }) => path.toLowerCase().includes(name.toLowerCase()));
  if (partial.length === 1) return partial[0];
  if (partial.length > 1)
    throw severalGguf(repository, partial, `several GGUF files with '${name}' in their names`);
  throw new BitsmithError(
    'model-not-found',
    'HUB_FILE_NOT_FOUND',
    `${repository} has no GGUF named '${name}'`,
    {
      found: models.length > 0 ? some(models.map(({ path }) => path)) : 'no GGUF at all',
      suggestion:
        models.length > 0
          ? `Name one of them: ${repository}:${models[0].path}`
          : `Leave out ':${name}' to take its safetensors.`,
    },
  );
}

function severalGguf(repository: string, models: readonly HubFile[], what: string): BitsmithError {
  return new BitsmithError('arguments', 'HUB_FILE_AMBIGUOUS', `${repository} has ${what}`, {
    expected: 'the name of one',
    found: some(models.map(({ path }) => path)),
    suggestion: `Name one, for example ${repository}:${models[0].path}`,
  });
}

function ggufSelection(repository: string, files: readonly HubFile[], chosen: HubFile): HubSelection {
  const split = splitName.exec(chosen.path)?.groups;
  if (split === undefined) return { files: [chosen], shardIndex: null, gguf: chosen.path };
  const count = Number(split['count']);
  const parts = files.filter(({ path }) => {
    const other = splitName.exec(path)?.groups;
    return other !== undefined && other['stem'] === split['stem'] && other['count'] === split['count'];
  });
  if (parts.length !== count) {
    throw new BitsmithError(
      'validation',
      'HUB_SPLIT_INCOMPLETE',
      `${repository} has ${parts.length} of the ${count} parts of ${chosen.path}`,
      { suggestion: 'Try another revision with org/name@revision, or tell the owner of the repository.' },
    );
  }
  const sorted = [...parts].sort((a, b) => (a.path < b.path ? -1 : 1));
  return { files: sorted, shardIndex: null, gguf: sorted[0].path };
}

function some(names: readonly string[]): string {
  const shown = names.slice(0, 8).join(', ');
  return names.length > 8 ? `${shown} and ${names.length - 8} more` : shown;
}
