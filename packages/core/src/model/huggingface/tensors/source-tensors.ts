/**
 * @file The tensors of a folder's safetensors files in llama.cpp's order: files by name, tensors by name within each. Tensors that
 * belong to other halves of a multimodal model, and buffers that are computed anew, are left out.
 */
import {
  BitsmithError,
  type ByteSource,
  parseShardIndex,
  readSafetensors,
  readShardedSafetensors,
  type SafetensorsTensorInfo,
} from '@bitsmith/formats';
import type { ModelFolder } from '../folder.js';

/** A stored array of the folder. `shape` is outermost axis first, as in the file. */
export interface SourceTensor extends SafetensorsTensorInfo {
  readonly file: string;
  readonly source: ByteSource;
}

const INDEX = 'model.safetensors.index.json';

/** @throws BitsmithError `WEIGHTS_MISSING`, `SHARD_*` or `SAFETENSORS_*`. */
export async function listSourceTensors(
  folder: ModelFolder,
  signal?: AbortSignal,
): Promise<readonly SourceTensor[]> {
  const stored = folder.has(INDEX)
    ? await indexedTensors(folder, signal)
    : await plainTensors(folder, signal);
  const byName = new Map<string, SourceTensor>();
  for (const tensor of stored) {
    const name = textTensorName(tensor.name);
    if (name !== undefined) byName.set(name, { ...tensor, name });
  }
  return [...byName.values()];
}

async function indexedTensors(folder: ModelFolder, signal?: AbortSignal): Promise<SourceTensor[]> {
  const index = parseShardIndex(await folder.text(INDEX, signal));
  const { tensors, shards, unlisted } = await readShardedSafetensors(
    index,
    (file) => folder.open(file, signal),
    {
      signal,
    },
  );
  if (unlisted.length > 0) {
    throw new BitsmithError('validation', 'SHARD_TENSOR_UNLISTED', `${INDEX} does not name ${unlisted[0]}`, {
      expected: 'every tensor of the files in the index',
      found: `${unlisted.length} tensors that it does not name`,
      suggestion:
        'The index belongs to other files: fetch the model again, or save it again with transformers.',
    });
  }
  return shards.flatMap(({ name: file, source }, shard) =>
    byTensorName(tensors.filter((tensor) => tensor.shard === shard)).map((tensor) => ({
      ...tensor,
      file,
      source,
    })),
  );
}

async function plainTensors(folder: ModelFolder, signal?: AbortSignal): Promise<SourceTensor[]> {
  const files = [...folder.files].filter((file) => /^model[^/]*\.safetensors$/.test(file)).sort();
  if (files.length === 0) throw weightsMissing(folder);
  const tensors: SourceTensor[] = [];
  for (const file of files) {
    const source = await folder.open(file, signal);
    const { tensors: stored } = await readSafetensors(source, { signal });
    tensors.push(...byTensorName(stored).map((tensor) => ({ ...tensor, file, source })));
  }
  return tensors;
}

function byTensorName<T extends { readonly name: string }>(tensors: readonly T[]): T[] {
  return [...tensors].sort((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
}

const otherHalves = [
  'visual.',
  'vision.',
  'audio.',
  'talker.',
  'vision_',
  'audio_',
  'token2wav.',
  'code2wav.',
  'projector.',
  'pre_mm_projector_norm',
  'image_newline',
  'view_seperator',
  'patch_embed',
  'patch_merger.',
  'patch_merge_mlp.',
  'model.connector.',
];
const otherHalfStarts =
  /^(mlp|vit\.|vpm\.|siglip2\.|conformer\.|merger\.|resampler\.|sound_encoder\.|sound_projection\.|speech_embeddings\.)/;
const computed = /\.(attention\.masked_bias|attention\.bias|rotary_emb\.inv_freq)$/;

/** The name of a tensor of the text model, or `undefined` for any other tensor. */
export function textTensorName(name: string): string | undefined {
  if (otherHalfStarts.test(name) || otherHalves.some((part) => name.includes(part)) || computed.test(name)) {
    return undefined;
  }
  return name.replaceAll('language_model.', '').replaceAll('text_model.', '');
}

function weightsMissing(folder: ModelFolder): BitsmithError {
  const pickled = [...folder.files].filter((file) => /^pytorch_model[^/]*\.bin$/.test(file));
  return pickled.length > 0
    ? new BitsmithError(
        'unsupported',
        'WEIGHTS_PICKLED',
        `the weights of ${folder.name} are Python pickles`,
        {
          expected: 'model.safetensors',
          found: pickled.join(', '),
          suggestion: 'Save the model with safetensors (save_pretrained does), or give a GGUF.',
        },
      )
    : new BitsmithError('model-not-found', 'WEIGHTS_MISSING', `the folder ${folder.name} has no weights`, {
        expected: 'model.safetensors, or its shards with model.safetensors.index.json',
        found: [...folder.files].slice(0, 8).join(', '),
        suggestion: 'Download the weights into the folder.',
      });
}
