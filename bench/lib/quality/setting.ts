/** @file What files and plans are compared on: one model, one importance matrix, texts, and the jobs' common options. */
import {
  calibrate,
  type Calibration,
  loadCorpus,
  openModel,
  presetRecipes,
  type PresetRecipes,
  type QuantizeOptions,
  type RunContext,
  type SourceModel,
  spreadChunks,
  storageOptions,
  type TensorOptions,
  type TokenizedText,
  tokenizeTexts,
  type Work,
} from '@bitsmith/core';
import type { ModelCase } from './cases.js';

export interface Setting {
  readonly about: ModelCase;
  readonly model: SourceModel;
  /** What every tensor may be stored in. */
  readonly storage: readonly TensorOptions[];
  readonly calibration: Calibration;
  readonly recipes: PresetRecipes;
  /** Whole. */
  readonly search: TokenizedText;
  /** What the live model runs over: parts of the search text and of the report text. */
  readonly single: TokenizedText;
  readonly live: TokenizedText;
  /** With these a job measures this importance matrix, and prices as planners here do. */
  readonly job: Required<
    Pick<
      QuantizeOptions,
      'model' | 'home' | 'threads' | 'contextTokens' | 'calibrationTokens' | 'floorTokens' | 'encoder'
    >
  >;
}

export async function* openSetting(
  run: RunContext,
  about: ModelCase,
  location: string,
  home: string,
): Work<Setting> {
  const { contextTokens, calibrationTokens, floorTokens } = about;
  const { store, signal, threads } = run;
  const model = yield* openModel(location, { store, signal });
  const corpus = await loadCorpus();
  const [calibration, search, report] = await tokenizeTexts(
    run,
    model,
    [corpus.calibration, corpus.search, corpus.report],
    contextTokens,
  );
  return {
    about,
    model,
    storage: storageOptions(model.tensors),
    calibration: yield* calibrate(run, model, spreadChunks(calibration, calibrationTokens)),
    recipes: await presetRecipes(run, model),
    search,
    single: spreadChunks(search, about.singleTokens),
    live: spreadChunks(report, about.liveTokens),
    job: {
      model: model.ggufPath,
      home,
      threads,
      contextTokens,
      calibrationTokens,
      floorTokens,
      // What is compared is how plans are made: encoders have a bench of their own.
      encoder: 'nearest',
    },
  };
}
