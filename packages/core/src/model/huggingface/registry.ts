/** @file The families that can be converted, by the names of their architectures. */
import { BitsmithError } from '@bitsmith/formats';
import { gemma3 } from './families/gemma3.js';
import { llama } from './families/llama.js';
import { mistral } from './families/mistral.js';
import { phi3 } from './families/phi3.js';
import { qwen2 } from './families/qwen2.js';
import { qwen3 } from './families/qwen3.js';
import type { Family } from './family.js';

const families: readonly Family[] = [llama, mistral, qwen2, qwen3, gemma3, phi3];

/** Names in `architectures` of config.json that can be converted. */
export const supportedArchitectures: readonly string[] = families.flatMap((family) => family.architectures);

/** @throws BitsmithError `ARCHITECTURE_UNSUPPORTED` */
export function familyOf(architecture: string): Family {
  const family = families.find(({ architectures }) => architectures.includes(architecture));
  if (family !== undefined) return family;
  const supported = supportedArchitectures.join(', ');
  throw new BitsmithError(
    'unsupported',
    'ARCHITECTURE_UNSUPPORTED',
    `${architecture} cannot be converted; supported: ${supported}. A GGUF of any architecture that llama.cpp runs is taken as it is.`,
    {
      expected: supported,
      found: architecture,
      suggestion: "Convert the model with llama.cpp's convert_hf_to_gguf.py, and give the .gguf file.",
    },
  );
}
