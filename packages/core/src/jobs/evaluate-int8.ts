/** @file What a model loses in 8 bits with its activations in 8 bits, too (W8A8), on text that nothing was calibrated with. */
import { calibrate } from '../calibrate/calibrate.js';
import { refuseNonFiniteWeights } from '../encode/finite.js';
import type { ScoredEvaluation } from '../evaluate/evaluate.js';
import { type ActivationScales, parseActivationScales } from '../evaluate/int8/activation-codes.js';
import { evaluateInt8 } from '../evaluate/int8/evaluate-int8.js';
import { openModel } from '../model/open.js';
import { inRun, type RunContext, type RunOptions } from '../run/context.js';
import type { Work } from '../run/events.js';
import { loadCorpus } from '../text/corpus.js';
import { firstChunks } from '../text/tokenize.js';
import { equalize } from '../transform/equalize/equalize.js';
import type { EqualizedFor } from '../transform/equalize/output-error.js';
import { type EqualizationReport, equalizationReport } from '../transform/equalize/report.js';
import { type EqualizeOptions, parseEqualize } from '../transform/equalize/parse.js';
import { prepareTexts, type TextOptions } from './texts.js';

export interface EvaluateInt8Options
  extends RunOptions, EqualizeOptions, Pick<TextOptions, 'text' | 'contextTokens' | 'calibrationTokens'> {
  /** A `.gguf` file, a Hugging Face folder, or a hub id. */
  readonly model: string;
  /** What shares a scale of activations: `token` (the default) and `tensor` are found on the way, `static` is calibrated. */
  readonly activationScales?: string;
  /** Tokens of the report text to evaluate on, at most; default 20,480. */
  readonly tokens?: number;
  /** Token for gated models on the hub; default `HF_TOKEN`. */
  readonly token?: string;
}

export interface Int8Evaluation extends ScoredEvaluation {
  readonly activationScales: ActivationScales;
  /** Null where channels were left as they are. */
  readonly equalization: EqualizationReport | null;
}

const DEFAULT_TOKENS = 20_480;
/** What scales of channels are searched for. */
const EIGHT_BITS: EqualizedFor = { scheme: 'int8', activations: true };

/**
 * Runs a model in float32 and with weights and activations of every matrix in 8 bits.
 * @throws BitsmithError `ALPHA_INVALID`, `ACTIVATION_SCALES_UNKNOWN`, `GRAPH_UNSUPPORTED`
 */
export async function* evaluateActivations(options: EvaluateInt8Options): Work<Int8Evaluation> {
  return yield* inRun(options, (run) => evaluateIn(run, options));
}

async function* evaluateIn(run: RunContext, options: EvaluateInt8Options): Work<Int8Evaluation> {
  const mode = parseEqualize(options, EIGHT_BITS);
  const activationScales = parseActivationScales(options.activationScales ?? 'token');
  const corpus = await loadCorpus(options.text);
  const { store, signal } = run;
  const source = yield* openModel(options.model, { store, token: options.token, signal });
  await refuseNonFiniteWeights(run, source);
  const texts = await prepareTexts(run, source, corpus, options);
  const equalized = mode === null ? null : yield* equalize(run, source, texts.calibration, mode);
  const model = equalized?.model ?? source;
  const scored = yield* evaluateInt8(run, {
    model,
    calibration: yield* calibrate(run, model, texts.calibration),
    activationScales,
    calibrationText: texts.calibration,
    text: firstChunks(texts.report, options.tokens ?? DEFAULT_TOKENS),
  });
  return {
    ...scored,
    activationScales,
    equalization: equalized === null ? null : equalizationReport(equalized.equalization),
  };
}
