/** @file Two files beside each other: what the second lost against the first, on a text. */
import { BitsmithError } from '@bitsmith/formats';
import { evaluateFile, type ScoredEvaluation } from '../evaluate/evaluate.js';
import { openModel } from '../model/open.js';
import { inRun, type RunContext, type RunOptions } from '../run/context.js';
import type { Work } from '../run/events.js';
import { loadCorpus, loadText } from '../text/corpus.js';
import { firstChunks, tokenizeTexts } from '../text/tokenize.js';

export interface EvaluateOptions extends RunOptions {
  /** The model to compare with: a `.gguf` file, a Hugging Face folder, or a hub id. */
  readonly source: string;
  /** The smaller file: a `.gguf` with the same vocabulary. */
  readonly output: string;
  /** A UTF-8 text, used whole; default: the bundled report text. */
  readonly text?: string;
  readonly contextTokens?: number;
  /** Tokens to evaluate on, at most; default: the whole text. */
  readonly tokens?: number;
  readonly token?: string;
}

/**
 * Measures perplexity of both files and the divergence between them.
 * @throws BitsmithError `VOCABULARY_MISMATCH` when the two do not speak of the same tokens.
 */
export async function* evaluate(options: EvaluateOptions): Work<ScoredEvaluation> {
  return yield* inRun(options, (run) => evaluateIn(run, options));
}

async function* evaluateIn(run: RunContext, options: EvaluateOptions): Work<ScoredEvaluation> {
  const text = options.text === undefined ? (await loadCorpus()).report : await loadText(options.text);
  const open = { store: run.store, token: options.token, signal: run.signal };
  const source = yield* openModel(options.source, open);
  const output = yield* openModel(options.output, open);
  const rows = [source, output].map(
    ({ tensors }) => tensors.find(({ role }) => role === 'embedding')?.shape[1],
  );
  if (rows[0] !== rows[1]) {
    throw new BitsmithError(
      'arguments',
      'VOCABULARY_MISMATCH',
      `expected two models with the same vocabulary, found ${rows[0]} and ${rows[1]} tokens`,
      {
        suggestion: 'Compare a quantized file with the model that it was made from.',
      },
    );
  }
  const [tokenized] = await tokenizeTexts(run, source, [text], options.contextTokens);
  const chosen = options.tokens === undefined ? tokenized : firstChunks(tokenized, options.tokens);
  return yield* evaluateFile(run, source, output.ggufPath, chosen);
}
