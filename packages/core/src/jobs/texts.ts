/** @file A run's texts and its importance matrix, ready for the model at hand. */
import { adoptCalibration, calibrate, type Calibration } from '../calibrate/calibrate.js';
import { roundingStatistics } from '../gram/statistics.js';
import type { SourceModel } from '../model/types.js';
import { parseSize } from '../plan/budget.js';
import { type EncoderMethod, refuseUnknownEncoder } from '../plan/encoder-name.js';
import type { RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import type { Corpus } from '../text/corpus.js';
import { spreadChunks, type TokenizedText, tokenizeTexts } from '../text/tokenize.js';

export interface TextOptions {
  /** A UTF-8 text of the user's own, split in calibration, search and report parts. */
  readonly text?: string;
  /** An importance matrix made elsewhere (GGUF or legacy `.dat`) instead of calibrating. */
  readonly importanceMatrix?: string;
  /** Tokens of one chunk; default 512, or the model's own context if shorter. */
  readonly contextTokens?: number;
  /** Tokens the importance matrix is measured on, at most. */
  readonly calibrationTokens?: number;
  /** How codes are chosen; default `auto`: the best way that the model's inputs can be measured for. */
  readonly encoder?: EncoderMethod;
}

/** Enough for stable importance (about 0.5 % an entry), half a minute for a 100M-parameter model. */
const DEFAULT_CALIBRATION_TOKENS = 32_768;

/** The texts of a run, ready for the model at hand. */
export interface RunTexts {
  readonly calibration: TokenizedText;
  /** Whole: each measurement takes what it needs. */
  readonly search: TokenizedText;
  readonly report: TokenizedText;
}

/** Tokenizes the run's texts and cuts them to the tokens that are used. */
export async function prepareTexts(
  run: RunContext,
  model: SourceModel,
  corpus: Corpus,
  options: Pick<TextOptions, 'contextTokens' | 'calibrationTokens'>,
): Promise<RunTexts> {
  const { calibration, search, report } = corpus;
  const [first, second, third] = await tokenizeTexts(
    run,
    model,
    [calibration, search, report],
    options.contextTokens,
  );
  return {
    calibration: spreadChunks(first, options.calibrationTokens ?? DEFAULT_CALIBRATION_TOKENS),
    search: second,
    report: third,
  };
}

interface CalibrationOptions extends Pick<TextOptions, 'importanceMatrix' | 'encoder'> {
  /** What measuring may take. */
  readonly workMemory?: string | number;
}

/** What encoders go by: the importance matrix, measured on the calibration text or taken from the file that the user names, and more. */
export async function* calibrationFor(
  run: RunContext,
  model: SourceModel,
  texts: RunTexts,
  { importanceMatrix, encoder, workMemory }: CalibrationOptions,
): Work<Calibration> {
  refuseUnknownEncoder(encoder);
  const calibration =
    importanceMatrix === undefined
      ? yield* calibrate(run, model, texts.calibration)
      : yield* adoptCalibration(run, model, importanceMatrix);
  const memoryBytes = workMemory === undefined ? undefined : parseSize(workMemory, '--work-memory');
  const rounding = yield* roundingStatistics(run, model, texts.calibration, encoder, memoryBytes);
  return { ...calibration, rounding };
}
