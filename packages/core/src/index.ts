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
export { EngineHost } from './engine/host.js';
export type { ScoredEvaluation } from './evaluate/evaluate.js';
export type { PositionScores } from './evaluate/summary.js';
export { summarize } from './evaluate/summary.js';
export type * from './evaluate/types.js';
export { analyze, type AnalyzeOptions, type AnalyzeResult, type TensorAnalysis } from './jobs/analyze.js';
export { convert, type ConvertOptions, type ConvertResult } from './jobs/convert.js';
export { evaluate, type EvaluateOptions } from './jobs/evaluate.js';
export { plan, type PlanOptions } from './jobs/plan.js';
export { quantize, type QuantizeOptions } from './jobs/quantize.js';
export type { Change, TensorChange, Variant } from './measure/change.js';
export { measure, type MeasuredTensor, type Probe } from './measure/measure.js';
export { measureVariants } from './measure/variants.js';
export type { TrueLoss } from './measure/variants-task.js';
export type { Wanted } from './measure/wanted.js';
export { isHubId } from './model/hub.js';
export { openModel, type OpenOptions } from './model/open.js';
export { blockOf, roleOf } from './model/roles.js';
export type { ModelTensor, SourceModel, TensorRole } from './model/types.js';
export * from './plan/index.js';
export { inRun, type RunContext, type RunOptions } from './run/context.js';
export type { RunEvent, Stage, Work } from './run/events.js';
export type { QuantizeResult, TextUse } from './run/record.js';
export { ArtifactStore, type StoredArtifact } from './run/store.js';
export { bitsmithVersion } from './run/versions.js';
export { finish } from './run/work.js';
export { loadCorpus, loadText, type Corpus, type Text } from './text/corpus.js';
export { firstChunks, tokenizeTexts, type TokenizedText } from './text/tokenize.js';
