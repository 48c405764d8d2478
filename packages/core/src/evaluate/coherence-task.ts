/**
 * @file In the engine: text that both models write. Each continues the same prompts by tokens drawn with the same random numbers;
 * then both read the source's continuations, and what each would say next at every place of them is compared. Tokens are drawn,
 * not the most probable: those run in circles in good small models, too.
 */
import type { LlamaModel } from '@bitsmith/ggml';
import { openLlama } from '../engine/session.js';
import type { TaskHandler, TaskType } from '../engine/task-type.js';
import { mix32, mulberry32 } from '../run/mulberry32.js';
import { continueTogether, type Predictions, readBack } from './continue-together.js';

export type CoherenceTask = TaskType<
  {
    readonly sourcePath: string;
    readonly outputPath: string;
    /** All of one length. */
    readonly prompts: readonly Int32Array[];
    /** Tokens added to each prompt, at most. */
    readonly tokens: number;
    readonly seed: number;
  },
  /** A step is one pass of both models: one for each token and each prompt. */
  { readonly steps: number },
  { readonly vocabulary: number; readonly continuations: readonly Continuations[] }
>;

/** One prompt, continued by both. */
export interface Continuations {
  readonly prompt: string;
  readonly source: WrittenText;
  readonly output: WrittenText;
  /** At every token of the source's continuation: 1 where both put the same token first. */
  readonly sameTop: Uint8Array;
}

/** What a model made of a prompt. */
export interface WrittenText {
  readonly tokens: Int32Array;
  readonly text: string;
  /** Entropy of its prediction at every token of the source's continuation, in nats. */
  readonly entropyNats: Float64Array;
}

export const runCoherence: TaskHandler<CoherenceTask> = async (parameters, report, settings) => {
  const { prompts, tokens: count, seed } = parameters;
  const models = [
    await openLlama(parameters.sourcePath, settings),
    await openLlama(parameters.outputPath, settings),
  ] as const;
  // Side by side, each on its share of the threads, as in an evaluation.
  const threads = Math.max(1, Math.floor(settings.threads / 2));
  const both = async <Result>(
    work: (model: LlamaModel, index: number) => Promise<Result>,
  ): Promise<Result[]> => {
    if (settings.threads > 1) return Promise.all(models.map(work));
    return [await work(models[0], 0), await work(models[1], 1)];
  };
  const step = (): void => report({ steps: 0.5 });
  const [written, other] = await both((model) => {
    const random = prompts.map((_, index) => mulberry32(mix32(seed) + index));
    return continueTogether(model, prompts, { count, threads, random, step });
  });
  const [before, after] = await both((model) => readBack(model, prompts, written, { threads, step }));
  const { vocabulary } = models[0];
  const textOf = (tokens: Int32Array, { entropyNats }: Predictions): WrittenText => ({
    tokens,
    text: vocabulary.detokenize(tokens),
    entropyNats,
  });
  const continuations = prompts.map((prompt, index): Continuations => ({
    prompt: vocabulary.detokenize(prompt),
    source: textOf(written[index], before[index]),
    output: textOf(other[index], after[index]),
    sameTop: Uint8Array.from(before[index].tops, (top, place) => (top === after[index].tops[place] ? 1 : 0)),
  }));
  return { vocabulary: vocabulary.size, continuations };
};
