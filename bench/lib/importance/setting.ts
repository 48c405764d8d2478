/** @file What the tables of importance are measured on: a model, its texts, and an importance matrix for the encoders. */
import {
  calibrate,
  type Calibration,
  firstChunks,
  loadCorpus,
  openModel,
  type RunContext,
  type SourceModel,
  type TokenizedText,
  tokenizeTexts,
  type Work,
} from '@bitsmith/core';

/** How much text each question gets; chosen so that two cores answer in minutes (bundled) or less than an hour. */
export interface TextSizes {
  readonly contextTokens: number;
  /** Importance matrix for the encoders. */
  readonly calibrationTokens: number;
  /** Methods that run the live model see this much of the search text. */
  readonly searchTokens: number;
  /** True losses of single tensors: the first tokens of the report text. */
  readonly oracleTokens: number;
  /** True losses of whole plans: the report text's next tokens, which no price was measured on. */
  readonly judgeTokens: number;
}

export interface Setting {
  readonly run: RunContext;
  readonly model: SourceModel;
  readonly calibration: Calibration;
  readonly texts: {
    /** Whole; methods take what they need from its start. */
    readonly calibration: TokenizedText;
    readonly search: TokenizedText;
    readonly oracle: TokenizedText;
    readonly judge: TokenizedText;
  };
}

export async function* openSetting(run: RunContext, location: string, sizes: TextSizes): Work<Setting> {
  const { store, signal } = run;
  const model = yield* openModel(location, { store, signal });
  const corpus = await loadCorpus();
  const [calibration, search, report] = await tokenizeTexts(
    run,
    model,
    [corpus.calibration, corpus.search, corpus.report],
    sizes.contextTokens,
  );
  const oracle = firstChunks(report, sizes.oracleTokens);
  const rest = { ...report, chunks: report.chunks.slice(oracle.chunks.length) };
  const judge = firstChunks(rest, sizes.judgeTokens);
  return {
    run,
    model,
    calibration: yield* calibrate(run, model, firstChunks(calibration, sizes.calibrationTokens)),
    texts: { calibration, search: firstChunks(search, sizes.searchTokens), oracle, judge },
  };
}

/** Tokens that a text has in whole chunks. */
export function tokensOf({ chunks, contextTokens }: TokenizedText): number {
  return chunks.length * contextTokens;
}
