/** @file What the tables of importance are measured on: a model, its texts, and an importance matrix for the encoders. */
import {
  calibrate,
  type Calibration,
  loadCorpus,
  openModel,
  type RunContext,
  type SourceModel,
  spreadChunks,
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
  /** True losses of single tensors, spread over the report text. */
  readonly oracleTokens: number;
  /** True losses of whole plans: other tokens of the report text, which no price was measured on. */
  readonly judgeTokens: number;
}

export interface Setting {
  readonly run: RunContext;
  readonly model: SourceModel;
  readonly calibration: Calibration;
  readonly texts: {
    /** Whole; gradients take sequences spread over it. */
    readonly calibration: TokenizedText;
    /** Whole as well. */
    readonly search: TokenizedText;
    /** What methods that run the live model see of the search text. */
    readonly live: TokenizedText;
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
  const oracle = spreadChunks(report, sizes.oracleTokens);
  const others = { ...report, chunks: report.chunks.filter((chunk) => !oracle.chunks.includes(chunk)) };
  const judge = spreadChunks(others, sizes.judgeTokens);
  const live = spreadChunks(search, sizes.searchTokens);
  return {
    run,
    model,
    calibration: yield* calibrate(run, model, spreadChunks(calibration, sizes.calibrationTokens)),
    texts: { calibration, search, live, oracle, judge },
  };
}
