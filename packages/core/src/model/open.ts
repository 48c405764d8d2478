/**
 * @file Opens whatever the user names: a GGUF, a Hugging Face folder (converted once, into the artifact store), or a hub
 * id (downloaded once). Everything after this works on a GGUF.
 */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { BitsmithError } from '@bitsmith/formats';
import { fileError } from '../io/file-errors.js';
import { writeAtomically } from '../io/file-sink.js';
import type { RunEvent, Work } from '../run/events.js';
import type { ArtifactStore, TaskIdentity } from '../run/store.js';
import { stage, streamed } from '../run/work.js';
import { downloadFromHub, isHubId } from './hub.js';
import {
  convertHuggingFace,
  type LocalFolder,
  openLocalFolder,
  writeConvertedModel,
} from './huggingface/index.js';
import { openGguf } from './open-gguf.js';
import type { SourceModel } from './types.js';

export interface OpenOptions {
  readonly store: ArtifactStore;
  /** Token for gated models on the hub; default `HF_TOKEN`. */
  readonly token?: string;
  readonly signal?: AbortSignal;
}

/** Part of the key of a conversion: another version may write other bytes. */
const CONVERTER_VERSION = 1;

/**
 * Opens a model.
 * @param location a `.gguf` file (the first of its splits), a folder with `config.json`, or a hub id `org/name`
 * @throws BitsmithError `MODEL_NOT_FOUND`, `ARCHITECTURE_UNSUPPORTED`, and what the formats say of damaged files
 */
export async function* openModel(location: string, options: OpenOptions): Work<SourceModel> {
  const { store, signal } = options;
  signal?.throwIfAborted();
  if (isHubId(location)) {
    const download = yield* downloadFromHub(location, { store: store.home, token: options.token, signal });
    return yield* openLocal(download.path, location, options);
  }
  return yield* openLocal(location, location, options);
}

async function* openLocal(local: string, location: string, options: OpenOptions): Work<SourceModel> {
  const { store, signal } = options;
  const status = await stat(local).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw notFound(location);
    throw fileError(error, local, 'read');
  });
  if (!status.isDirectory()) return await openGguf(path.resolve(local), store, { location, signal });
  const folder = await openLocalFolder(local);
  try {
    const converted = yield* convertFolder(folder, local, options);
    return await openGguf(converted, store, { location, signal });
  } finally {
    await folder.close();
  }
}

function notFound(location: string): BitsmithError {
  return new BitsmithError(
    'model-not-found',
    'MODEL_NOT_FOUND',
    `expected a model at ${location}, found nothing there`,
    {
      suggestion: 'Name a .gguf file, a Hugging Face folder with config.json, or a hub id such as org/name.',
    },
  );
}

/** The folder's GGUF in the store: found there, or converted now. */
async function* convertFolder(
  folder: LocalFolder,
  local: string,
  { store, signal }: OpenOptions,
): Work<string> {
  const inputs: Record<string, string> = {};
  for (const file of await folder.list(signal)) {
    if (isModelFile(file)) inputs[file] = await store.fileHash(path.join(local, file), signal);
  }
  const task: TaskIdentity = {
    kind: 'source',
    version: CONVERTER_VERSION,
    parameters: { folder: folder.name },
    inputs,
  };
  const known = await store.find(task, 'gguf');
  if (known !== null) return known;
  return yield* stage('convert', `${folder.name} to GGUF`, async function* () {
    const model = await convertHuggingFace(folder, { signal });
    const temporary = store.temporaryPath('gguf');
    yield* streamed<RunEvent, void>((emit) =>
      writeAtomically(temporary, (sink) =>
        writeConvertedModel(model, sink, {
          signal,
          onTensor: ({ name }, index) =>
            emit({
              type: 'progress',
              stage: 'convert',
              done: index,
              total: model.tensors.length,
              unit: 'tensors',
              item: name,
            }),
        }),
      ),
    );
    const result = await store.adopt(temporary, task, 'gguf');
    return { result, summary: `${model.tensors.length} tensors`, cached: false };
  });
}

/** What a conversion can depend on: weights, tokenizer, configuration, model card. */
export function isModelFile(file: string): boolean {
  return /\.(safetensors|json|model|jinja|txt|md)$/i.test(file);
}
