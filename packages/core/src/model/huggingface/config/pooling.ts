/** @file How an embedding model pools its tokens, from the description that sentence-transformers keeps beside it. */
import { BitsmithError } from '@bitsmith/formats';
import { isJsonObject, type JsonObject, type ModelFolder } from '../folder.js';
import type { MetadataBuilder } from '../metadata-builder.js';

/** llama.cpp's numbers. */
const poolingTypes = { mean: 1, cls: 2, lasttoken: 3 } as const;
type Pooling = keyof typeof poolingTypes;

const flags: readonly (readonly [key: string, pooling: Pooling])[] = [
  ['pooling_mode_mean_tokens', 'mean'],
  ['pooling_mode_cls_token', 'cls'],
  ['pooling_mode_lasttoken', 'lasttoken'],
];

/** Writes nothing for a model that does not pool. */
export async function writePooling(
  metadata: MetadataBuilder,
  folder: ModelFolder,
  signal?: AbortSignal,
): Promise<void> {
  if (!folder.has('modules.json')) return;
  const modules = await folder.jsonValue('modules.json', signal);
  const pooling = (Array.isArray(modules) ? modules.filter(isJsonObject) : []).find(
    (module) => typeof module.type === 'string' && module.type.endsWith('Pooling'),
  );
  if (pooling === undefined) return;
  const config = (await folder.json(`${String(pooling.path)}/config.json`, signal)) ?? {};
  metadata.uint32(metadata.key('pooling_type'), poolingTypes[poolingOf(config)]);
}

function poolingOf(config: JsonObject): Pooling {
  const flagged = flags.find(([key]) => config[key] === true)?.[1];
  if (flagged !== undefined) return flagged;
  const mode = config.pooling_mode;
  if (mode === 'mean' || mode === 'cls' || mode === 'lasttoken') return mode;
  throw new BitsmithError(
    'unsupported',
    'MODEL_POOLING',
    'this embedding model pools its tokens in an unknown way',
    {
      expected: 'pooling by mean, first or last token',
      found: JSON.stringify(mode ?? config),
      suggestion: "Convert it with llama.cpp's own converter, and give the GGUF.",
    },
  );
}
