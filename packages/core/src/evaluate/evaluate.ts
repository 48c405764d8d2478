/** @file What a written file lost, measured on the file: both models on the same tokens of a text nothing was tuned on. */
import { BitsmithError } from '@bitsmith/formats';
import type { EngineTasks } from '../engine/protocol.js';
import type { SourceModel } from '../model/types.js';
import type { RunContext } from '../run/context.js';
import type { RunEvent, Work } from '../run/events.js';
import { againAfterCrash, stage, type StageOutcome, streamed } from '../run/work.js';
import type { TokenizedText } from '../text/tokenize.js';
import { summarize } from './summary.js';
import type { PositionScores } from './summary.js';
import type { Evaluation } from './types.js';

/** Tokens of the greedy sample: how many of the text begin it, how many each model adds. */
const SAMPLE_PROMPT_TOKENS = 24;
const SAMPLE_TOKENS = 40;

/** An evaluation with the score of every position, for paired comparisons. */
export interface ScoredEvaluation {
  readonly evaluation: Evaluation;
  readonly scores: PositionScores;
}

/**
 * Runs both models over the text.
 * @param outputPath the written GGUF
 * @throws BitsmithError `OUTPUT_NOT_FINITE` when the file predicts NaN or infinity.
 */
export async function* evaluateFile(
  run: RunContext,
  source: SourceModel,
  outputPath: string,
  text: TokenizedText,
): Work<ScoredEvaluation> {
  return yield* stage('verify', `both models on ${text.name}`, async function* () {
    const answer = yield* streamed<RunEvent, EngineTasks['evaluate']['result']>((emit) =>
      againAfterCrash(
        () => runBoth(run, source, outputPath, text, emit),
        (error) => emit({ type: 'note', level: 'warning', message: error.message }),
      ),
    );
    return describeEvaluation(answer, text);
  });
}

/**
 * What two models' scores say.
 * @throws BitsmithError `OUTPUT_NOT_FINITE`
 */
export function describeEvaluation(
  { scores, sample }: EngineTasks['evaluate']['result'],
  text: TokenizedText,
): StageOutcome<ScoredEvaluation> {
  refuseNonFinite(scores);
  const { name, sha256, contextTokens, chunks } = text;
  const evaluation: Evaluation = {
    evidence: 'measured',
    text: { name, sha256, contextTokens, chunks: chunks.length },
    ...summarize(scores),
    sample,
  };
  const { mean } = evaluation.klNats;
  const summary = `KL ${mean.value.toFixed(5)} +- ${mean.standardError.toFixed(5)} nats per token`;
  return { result: { evaluation, scores }, summary, cached: false };
}

function runBoth(
  run: RunContext,
  source: SourceModel,
  outputPath: string,
  text: TokenizedText,
  emit: (event: RunEvent) => void,
): Promise<EngineTasks['evaluate']['result']> {
  const { chunks, contextTokens } = text;
  const total = chunks.length * contextTokens;
  let done = 0;
  return run.engine.run(
    'evaluate',
    { sourcePath: source.ggufPath, outputPath, contextTokens, chunks, sample: samplePrompt(text) },
    {
      signal: run.signal,
      onEvent: (event) => {
        done += event.chunks * contextTokens;
        emit({ type: 'progress', stage: 'verify', done, total, unit: 'tokens' });
      },
    },
  );
}

/** Where the middle chunk of the text begins, to be continued: the beginning of a text is often a title or a list. */
function samplePrompt({ chunks, contextTokens }: TokenizedText): { prompt: Int32Array; tokens: number } {
  const half = Math.floor(contextTokens / 2);
  const chunk = chunks[Math.floor(chunks.length / 2)];
  return {
    prompt: chunk.slice(0, Math.min(SAMPLE_PROMPT_TOKENS, half)),
    tokens: Math.min(SAMPLE_TOKENS, half),
  };
}

function refuseNonFinite(scores: PositionScores): void {
  const index = scores.klNats.findIndex((value) => !Number.isFinite(value));
  if (index < 0) return;
  throw new BitsmithError(
    'validation',
    'OUTPUT_NOT_FINITE',
    `expected finite predictions of both models, found NaN or infinity at scored position ${index}`,
    {
      suggestion: 'The written file or the source is broken on this text; the file was not published.',
    },
  );
}
