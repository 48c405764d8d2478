/**
 * @file Gram matrices in the store: one artifact a block, and one for the head and the embedding. Encoders with error feedback and prices of
 * correlated errors read them; an interrupted measurement keeps the blocks that it finished.
 */
import { ENGINE_RELEASE } from '../engine/release.js';
import type { SourceModel } from '../model/types.js';
import type { RunContext } from '../run/context.js';
import type { RunEvent } from '../run/events.js';
import type { TaskIdentity } from '../run/store.js';
import { tokensHash, type TokenizedText } from '../text/tokenize.js';
import { gatherFiles, type GatheredFiles } from '../run/gather-files.js';
import type { GramPlace } from './gram-files.js';
import { gramOf } from './gram.js';
import { describeMemory } from '../transformer/pass-within.js';

/**
 * Measures the Gram matrices of all matrices' inputs over the chunks of the text: a file a block in order, and last that of the two ends.
 * @param memoryBytes what that may take; left out: no limit
 * @throws BitsmithError `GRAPH_UNSUPPORTED`, `MEMORY_LIMIT`, `ACTIVATION_NOT_FINITE`
 */
export async function* measureGrams(
  run: RunContext,
  model: SourceModel,
  text: TokenizedText,
  memoryBytes?: number,
): AsyncGenerator<RunEvent, GatheredFiles, void> {
  const blocks = 1 + Math.max(...model.tensors.map(({ block }) => block ?? -1));
  const hash = tokensHash(text);
  const parts = Array.from({ length: blocks + 1 }, (_, index) => index);
  const taskOf = (part: number): TaskIdentity => ({
    kind: 'gram',
    version: 4,
    parameters: {
      part: part === blocks ? 'ends' : part,
      positions: text.contextTokens,
      seed: run.seed,
      engine: ENGINE_RELEASE,
    },
    inputs: { model: model.sha256, tokens: hash },
  });
  return yield* gatherFiles(run, {
    items: parts,
    taskOf,
    extension: 'safetensors',
    label: 'Gram matrices',
    work: ({ outputs, scratch, finished, emit }) =>
      run.engine.run(
        'grams',
        {
          files: model.files.map((file) => file.path),
          positions: text.contextTokens,
          sequences: text.chunks,
          seed: run.seed,
          memoryBytes: memoryBytes ?? null,
          scratchPath: scratch('activations'),
          outputs: parts.map((part) => outputs.get(part) ?? null),
        },
        {
          signal: run.signal,
          onEvent: (event) => {
            if (event.type === 'block') finished(event.index);
            else emit({ type: 'note', level: 'verbose', message: describeMemory('Gram matrices', event) });
          },
        },
      ),
  });
}

/** Where the Gram matrix of a tensor's inputs lies; null for one that is no matrix. */
export function gramPlace({ paths }: GatheredFiles, tensor: string): GramPlace | null {
  const found = gramOf(tensor);
  return found === null ? null : { path: paths[found.block ?? paths.length - 1], name: found.name };
}
