/**
 * @file In the engine: the source and the written file side by side on the same tokens, in one streaming pass without
 * logit files; then a short greedy continuation by both.
 */
import type { LlamaModel } from '@bitsmith/ggml';
import { ChunkRunner } from '../engine/forward.js';
import type { TaskHandler, TaskType } from '../engine/task-type.js';
import { openLlama } from '../engine/session.js';
import { continueGreedily } from './sample.js';
import { Scorer } from './scorer.js';
import type { PositionScores } from './summary.js';

export type EvaluateTask = TaskType<
  {
    readonly sourcePath: string;
    readonly outputPath: string;
    readonly contextTokens: number;
    readonly chunks: readonly Int32Array[];
    /** Tokens the sample continues, and how many it adds; null for no sample. */
    readonly sample: { readonly prompt: Int32Array; readonly tokens: number } | null;
  },
  { readonly chunks: number },
  {
    readonly scores: PositionScores;
    readonly sample: { readonly prompt: string; readonly source: string; readonly output: string } | null;
  }
>;

export const runEvaluate: TaskHandler<EvaluateTask> = async (parameters, report, settings) => {
  const { contextTokens, chunks } = parameters;
  const source = await openLlama(parameters.sourcePath, settings);
  const output = await openLlama(parameters.outputPath, settings);
  // Side by side, each on its share of the threads: threads that share one graph wait for each other at every node.
  const sideBySide = settings.threads > 1;
  const threads = sideBySide ? Math.floor(settings.threads / 2) : 1;
  const options = { contextTokens, threads, chunks: chunks.length };
  const sourceRunner = ChunkRunner.create(source, options);
  const outputRunner = ChunkRunner.create(output, options);
  const scorer = new Scorer(contextTokens, chunks.length, source.vocabulary.size);
  try {
    for (const batch of sourceRunner.batches(chunks)) {
      const first = sourceRunner.runAsync(batch, scorer.firstScored);
      if (!sideBySide) await first;
      const [p, q] = await Promise.all([first, outputRunner.runAsync(batch, scorer.firstScored)]);
      scorer.score(batch, p, q);
      report({ chunks: batch.length });
    }
  } finally {
    sourceRunner.dispose();
    outputRunner.dispose();
  }
  return { scores: scorer.scores, sample: sampleBoth(parameters, source, output, threads) };
};

function sampleBoth(
  { sample }: EvaluateTask['parameters'],
  source: LlamaModel,
  output: LlamaModel,
  threads: number,
): EvaluateTask['result']['sample'] {
  if (sample === null) return null;
  return {
    prompt: source.vocabulary.detokenize(sample.prompt),
    source: continueGreedily(source, sample.prompt, sample.tokens, threads),
    output: continueGreedily(output, sample.prompt, sample.tokens, threads),
  };
}
