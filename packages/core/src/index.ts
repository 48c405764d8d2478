/**
 * Bitsmith's pipeline: open a model, calibrate, measure, plan, encode, verify. Long work is an async generator of typed
 * events that returns its result; `finish` runs one to its end.
 */
export {
  BitsmithError,
  exitCodes,
  serializeError,
  type ErrorKind,
  type SerializedError,
} from '@bitsmith/formats';
export { adoptCalibration, calibrate, type Calibration } from './calibrate/calibrate.js';
export { roundingStatistics } from './gram/statistics.js';
export { type EncoderMethod, encoderMethods } from './plan/encoder-name.js';
export { canLearn, learnRounding } from './encode/learned/learned.js';
export { EngineHost } from './engine/host.js';
export type { ScoredEvaluation } from './evaluate/evaluate.js';
export type { PositionScores } from './evaluate/summary.js';
export { summarize } from './evaluate/summary.js';
export type * from './evaluate/types.js';
export { analyze, type AnalyzeOptions, type AnalyzeResult } from './jobs/analyze.js';
export { convert, type ConvertOptions, type ConvertResult } from './jobs/convert.js';
export { evaluate, type EvaluateOptions } from './jobs/evaluate.js';
export { evaluateActivations, type EvaluateInt8Options, type Int8Evaluation } from './jobs/evaluate-int8.js';
export { pareto, type ParetoOptions, type ParetoResult } from './jobs/pareto.js';
export { plan, type PlanResult } from './jobs/plan.js';
export type { PlanOptions } from './jobs/plan-options.js';
export {
  type ListedProfile,
  listProfiles,
  loadProfile,
  type NamedProfile,
  saveProfile,
} from './jobs/profiles.js';
export { quantize, type QuantizeOptions } from './jobs/quantize.js';
export type { Change, TensorChange, Variant } from './measure/live/change.js';
export { combine, methodWeights, referenceScores, sharesOf } from './measure/methods/combine.js';
export type { MethodChoice, MethodEntry, MethodInput, ScoreSet } from './measure/methods/method.js';
export { methodsFor, methodTable, parseMethods, scoresOf } from './measure/methods/methods.js';
export type { MixedGain } from './measure/whole-plans/mixed-gain.js';
export type { TensorAnalysis } from './measure/methods/ranking.js';
export { methods, type Method, type Score, type ScoreUnit } from './measure/methods/score.js';
export { writeScores } from './measure/methods/scores-file.js';
export type { SuperWeightCandidate, SuperWeights } from './measure/super-weights/super-weights.js';
export type { ImportantWeight } from './measure/super-weights/top-weights-task.js';
export { measure, type MeasuredTensor, type Probe } from './measure/measure.js';
export {
  fitKl,
  predictKl,
  type KlFit,
  type KlPrediction,
  type MeasuredPlan,
} from './measure/whole-plans/predict.js';
export { planVariant } from './measure/live/plan-variant.js';
export { measureVariants } from './measure/live/variants.js';
export type { TrueLoss } from './measure/live/variants-task.js';
export type { Wanted } from './measure/wanted.js';
export { isHubId } from './model/hub.js';
export { openModel, type OpenOptions } from './model/open.js';
export { blockOf, roleOf } from './model/roles.js';
export type { ModelTensor, SourceModel, TensorRole } from './model/types.js';
export * from './plan/index.js';
export { presetRecipes } from './presets/recipes.js';
export { inRun, type RunContext, type RunOptions } from './run/context.js';
export type { RunEvent, Stage, Work } from './run/events.js';
export type { Protection } from './refine/protect.js';
export type { SearchRecord } from './refine/search-record.js';
export type { QuantizeResult, TextUse } from './jobs/record.js';
export { ArtifactStore, type StoredArtifact } from './run/store.js';
export type { EqualizeMode, SiteScales } from './transform/equalize/choose.js';
export { equalize, type Equalization, type EqualizedModel } from './transform/equalize/equalize.js';
export type { EqualizationReport } from './transform/equalize/report.js';
export type { ScaleRule } from './transform/equalize/scales.js';
export { bitsmithVersion } from './run/versions.js';
export { finish } from './run/work.js';
export { loadCorpus, loadText, type Corpus, type Text } from './text/corpus.js';
export { firstChunks, spreadChunks, tokenizeTexts, type TokenizedText, tokensOf } from './text/tokenize.js';
