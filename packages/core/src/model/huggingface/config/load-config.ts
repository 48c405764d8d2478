/** @file Reads `config.json` and names the architecture in it. */
import { BitsmithError } from '@bitsmith/formats';
import { isJsonObject, type JsonObject, type ModelFolder } from '../folder.js';
import { completeConfig } from './defaults.js';
import { Hparams } from './hparams.js';

export interface ModelConfig {
  /** `config.json` as it stands. */
  readonly raw: JsonObject;
  /** What `architectures` names, for example `LlamaForCausalLM`. */
  readonly architecture: string;
  readonly hparams: Hparams;
}

/** @throws BitsmithError `MODEL_CONFIG_MISSING` or `MODEL_CONFIG`. */
export async function loadModelConfig(folder: ModelFolder, signal?: AbortSignal): Promise<ModelConfig> {
  const raw = await folder.json('config.json', signal);
  if (raw === undefined) {
    throw new BitsmithError(
      'model-not-found',
      'MODEL_CONFIG_MISSING',
      `no config.json in the folder ${folder.name}`,
      {
        expected: 'a Hugging Face model folder, with config.json at its top',
        found: folder.files.size === 0 ? 'an empty folder' : [...folder.files].slice(0, 8).join(', '),
        suggestion: 'Name the folder that holds config.json, or name a .gguf file.',
      },
    );
  }
  const config = completed(raw);
  const text = isJsonObject(config.text_config) ? config.text_config : {};
  return {
    raw,
    architecture: firstArchitecture(text) ?? firstArchitecture(config) ?? missingArchitecture(),
    hparams: new Hparams({ ...config, ...text }),
  };
}

/** Models that see as well as read keep their text half in `text_config`, which has defaults of its own. */
function completed(raw: JsonObject): JsonObject {
  const config = completeConfig(raw);
  if (raw.model_type !== 'gemma3') return config;
  const given = isJsonObject(raw.text_config) ? raw.text_config : {};
  return { ...config, text_config: completeConfig({ ...given, model_type: 'gemma3_text' }) };
}

function firstArchitecture(config: JsonObject): string | undefined {
  const names = config.architectures;
  return Array.isArray(names) && typeof names[0] === 'string' ? names[0] : undefined;
}

function missingArchitecture(): never {
  throw new BitsmithError('validation', 'MODEL_CONFIG', 'config.json names no architecture', {
    expected: 'a list "architectures" with a name such as LlamaForCausalLM',
    found: 'none',
    suggestion: "Restore the model's config.json.",
  });
}
