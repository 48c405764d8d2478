/**
 * @file What every tensor costs, without a budget: scores by one or several methods, the ranking that follows, prices of all
 * schemes, what mixed precision can gain, single weights that matter alone, and the importance matrix as a file.
 */
import path from 'node:path';
import { BitsmithError } from '@bitsmith/formats';
import { type Calibration, isAdopted, isCalibrationBegun } from '../calibrate/calibrate.js';
import { refuseNonFiniteWeights } from '../encode/finite.js';
import { copyIntoPlace } from '../io/file-sink.js';
import { combine } from '../measure/methods/combine.js';
import type { MethodInput, ScoreSet } from '../measure/methods/method.js';
import { defaultMethod, methodsFor, parseMethods } from '../measure/methods/methods.js';
import { medianRelativeError, rankTensors, type TensorAnalysis } from '../measure/methods/ranking.js';
import { scoreAll } from '../measure/methods/scoring.js';
import type { InteractionAudit } from '../measure/whole-plans/interactions.js';
import { measureInteractions } from '../measure/whole-plans/measure-interactions.js';
import {
  canPredict,
  measurePrediction,
  type Prediction,
  priceOfPlan,
} from '../measure/whole-plans/measure-prediction.js';
import { type MixedGain, mixedGains } from '../measure/whole-plans/mixed-gain.js';
import { type KlPrediction, predictKl } from '../measure/whole-plans/predict.js';
import type { Method } from '../measure/methods/score.js';
import { pricesFromScores, type ReferencePrice, referencePrices } from '../measure/methods/score-prices.js';
import { writeScores } from '../measure/methods/scores-file.js';
import {
  findSuperWeights,
  refuseBadCoverage,
  type SuperWeights,
} from '../measure/super-weights/super-weights.js';
import { weightErrors } from '../measure/errors/weight-errors.js';
import { openModel } from '../model/open.js';
import type { SourceModel } from '../model/types.js';
import { bytesRange } from '../plan/bytes.js';
import {
  type Choice,
  parseSchemes,
  parseSize,
  refuseNoneLegal,
  solve,
  storageOptions,
  type TensorOptions,
} from '../plan/index.js';
import { inRun, type RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import type { TextUse } from './record.js';
import { stage } from '../run/work.js';
import { loadCorpus } from '../text/corpus.js';
import { spreadChunks, spreadSamples, type TokenizedText } from '../text/tokenize.js';
import { refuseSource, refuseUnwritable } from './output.js';
import type { PlanOptions } from './plan-options.js';
import { wantedOf } from './price-choices.js';
import { calibrationFor, prepareTexts } from './texts.js';
import { DEFAULT_PROBE_TOKENS } from './pricing.js';
import type { WishOptions } from './wishes.js';

export interface AnalyzeOptions extends Omit<
  PlanOptions,
  keyof WishOptions | 'locks' | 'planFile' | 'savePlan' | 'tensorTypeFile' | 'method'
> {
  /** Where the importance matrix goes (GGUF, as llama-quantize reads it); default: only in the store. */
  readonly output?: string;
  /** `NAME,NAME` or `NAME=WEIGHT,NAME=WEIGHT`: what tells how much a tensor matters. */
  readonly method?: string;
  /** Sequences of one context that losses are measured on; default about 2,048 tokens. */
  readonly samples?: number;
  /** Schemes to score; default: what each method can afford, and prices of all. */
  readonly schemes?: readonly string[];
  /** Where all scores go, as Parquet. */
  readonly scores?: string;
  /** Share of all weights that are reported as the most important ones; default 0.0001. */
  readonly coverage?: number;
  /** Whole plans whose true loss is measured to predict that of others; default 6, 0 for no prediction. */
  readonly plans?: number;
  /** Tests whether tensors interact, on 128 sequences. Default false. */
  readonly interactions?: boolean;
  /** Fails where no work of an earlier analysis is kept. What is kept is used in any case. */
  readonly resume?: boolean;
}

export interface AnalyzeResult {
  readonly status: 'success';
  readonly model: {
    readonly name: string;
    readonly architecture: string;
    readonly sha256: string;
    readonly parameterCount: number;
  };
  readonly importanceMatrixPath: string;
  readonly calibration: Pick<Calibration, 'dataset' | 'tokens' | 'sha256'>;
  /** What losses were measured on. */
  readonly text: TextUse & { readonly samples: number };
  readonly seed: number;
  /** What ran, with its weight in the shares. */
  readonly methods: readonly { readonly method: Method; readonly weight: number; readonly scores: number }[];
  /** Asked for, but unable to score this family. */
  readonly methodsLeftOut: readonly Method[];
  /** Most sensitive first. */
  readonly tensors: readonly TensorAnalysis[];
  /** Median over the tensors of standard error / loss; null where errors are unknown. */
  readonly medianRelativeError: number | null;
  /** What mixed precision is expected to gain over one scheme for all, by the prices; empty where there are none. */
  readonly gains: readonly MixedGain[];
  /** Expected losses of whole plans; null where no method knows nats or no plans were measured. */
  readonly prediction: PredictedLosses | null;
  /** Null where the test was not asked for. */
  readonly interactions: InteractionAudit | null;
  readonly superWeights: SuperWeights;
  /** Where the scores went; null where no file was asked for. */
  readonly scoresPath: string | null;
}

/** Measures importance and prices of all tensors and schemes. */
export async function* analyze(options: AnalyzeOptions): Work<AnalyzeResult> {
  return yield* inRun(options, (run) => analyzeIn(run, options));
}

async function* analyzeIn(run: RunContext, options: AnalyzeOptions): Work<AnalyzeResult> {
  const asked = parseMethods(options.method ?? defaultMethod);
  const schemes = parseSchemes(options.schemes);
  refuseBadCoverage(options.coverage);
  const outputs = [options.output, options.scores].filter((file) => file !== undefined);
  for (const file of outputs) await refuseUnwritable(file);
  const corpus = await loadCorpus(options.text);
  const { store, signal } = run;
  const model = yield* openModel(options.model, { store, token: options.token, signal });
  for (const file of outputs) await refuseSource(file, model);
  if (options.method !== undefined) methodsFor(model, asked);
  const storage = storageOptions(model.tensors, undefined, undefined, schemes);
  if (options.schemes !== undefined) refuseNoneLegal(storage, schemes, options.schemes);
  await refuseNonFiniteWeights(run, model);
  const texts = await prepareTexts(run, model, corpus, options);
  const text = sequencesOf(texts.search, options);
  if (options.resume === true) await refuseNothingKept(run, model, texts.calibration, options);
  // What a tensor is worth is told by codes that know nothing of its inputs, unless it is asked for others.
  const { importanceMatrix, encoder = 'nearest' } = options;
  const calibration = yield* calibrationFor(run, model, texts, { importanceMatrix, encoder });

  const input: MethodInput = {
    run,
    model,
    calibration,
    text,
    gradientText: texts.search,
    memoryBytes:
      options.workMemory === undefined ? undefined : parseSize(options.workMemory, '--work-memory'),
    samples: options.samples,
    wanted: wantedOf(storage),
    chosenSchemes: options.schemes !== undefined,
  };
  const { sets, weights, left } = yield* scoreAll(input, asked, options.method === undefined);
  const shares = combine(sets, weights);
  const references = referencePrices(sets, weights, shares);
  const choices = references.size === 0 ? [] : yield* priceAll(input, storage, sets, references);
  const interactions =
    options.interactions === true
      ? yield* measureInteractions(run, model, calibration, texts.search, input.wanted)
      : null;
  const prediction = yield* predictLosses(input, choices, interactions, options);
  const superWeights = yield* findSuperWeights(input, texts.calibration, options.coverage);
  if (options.scores !== undefined) await writeScores(path.resolve(options.scores), sets);
  const { name, architecture, sha256, parameterCount } = model;
  return {
    status: 'success',
    model: { name, architecture, sha256, parameterCount },
    importanceMatrixPath: await publish(calibration.path, options.output),
    calibration: { dataset: calibration.dataset, tokens: calibration.tokens, sha256: calibration.sha256 },
    text: {
      name: text.name,
      sha256: text.sha256,
      tokens: text.chunks.length * text.contextTokens,
      samples: text.chunks.length,
    },
    seed: run.seed,
    methods: sets.map(({ method, scores }) => ({
      method,
      weight: weights.get(method) ?? 0,
      scores: scores.length,
    })),
    methodsLeftOut: left,
    tensors: rankTensors(input.wanted, { sets, shares, references, choices }),
    medianRelativeError: medianRelativeError(references),
    gains: choices.length === 0 ? [] : mixedGains(storage, choices, parameterCount),
    prediction,
    interactions,
    superWeights,
    scoresPath: options.scores === undefined ? null : path.resolve(options.scores),
  };
}

/** The sequences that losses are measured on: as many as were asked for, else as a plan's probes take. */
function sequencesOf(whole: TokenizedText, options: AnalyzeOptions): TokenizedText {
  if (options.samples !== undefined) return spreadSamples(whole, options.samples);
  return spreadChunks(whole, options.probeTokens ?? DEFAULT_PROBE_TOKENS);
}

/** Errors of all schemes turn the scores of some into prices of all. */
async function* priceAll(
  { run, model, calibration, wanted }: MethodInput,
  storage: readonly TensorOptions[],
  sets: readonly ScoreSet[],
  references: ReadonlyMap<string, ReferencePrice>,
): Work<readonly Choice[]> {
  return yield* stage('measure', 'errors of all schemes', async function* () {
    const { values, cached } = yield* weightErrors(run, model, calibration, wanted);
    const errors = new Map(wanted.map(({ tensor }, index) => [tensor.name, values[index].weighted]));
    const result = pricesFromScores(storage, sets, references, errors);
    const prices = result.reduce((sum, { candidates }) => sum + candidates.length, 0);
    return { result, cached, summary: `${prices.toLocaleString('en')} prices` };
  });
}

/** What plans are expected to lose, by a fit to some that were measured. */
export interface PredictedLosses extends Prediction {
  /** Best plans by the prices at common sizes. */
  readonly sizes: readonly (KlPrediction & { readonly bitsPerWeight: number })[];
}

/** Bits per weight whose plans are predicted, where the model can be made as small. */
const COMMON_BITS = [2.5, 3, 3.5, 4, 4.5, 5, 6];

async function* predictLosses(
  { run, model, calibration, text }: MethodInput,
  choices: readonly Choice[],
  interactions: InteractionAudit | null,
  { plans }: AnalyzeOptions,
): Work<PredictedLosses | null> {
  if (choices.length === 0 || plans === 0) return null;
  const { parameterCount } = model;
  const options = { parameterCount, plans, seed: run.seed, interactions };
  if (plans === undefined && !canPredict(choices, options)) return null;
  const prediction = yield* measurePrediction({ run, model, calibration, text }, choices, options);
  const [smallest] = bytesRange(choices);
  const sizes = COMMON_BITS.filter((bits) => bits * parameterCount >= 8 * smallest).map((bitsPerWeight) => {
    const { picked } = solve(choices, (bitsPerWeight * parameterCount) / 8);
    return { bitsPerWeight, ...predictKl(prediction.fit, priceOfPlan(choices, picked, interactions)) };
  });
  // From the source's own size on, nothing is lost.
  return { ...prediction, sizes: sizes.filter(({ klNats }) => klNats > 0) };
}

/**
 * Resuming needs no word: what is kept is used. The word says that something must be there, so that a wrong folder, text or
 * context does not start hours of work anew.
 */
async function refuseNothingKept(
  run: RunContext,
  model: SourceModel,
  text: TokenizedText,
  { importanceMatrix }: AnalyzeOptions,
): Promise<void> {
  const kept =
    importanceMatrix === undefined
      ? await isCalibrationBegun(run, model, text)
      : await isAdopted(run, model, importanceMatrix);
  if (kept) return;
  throw new BitsmithError(
    'checkpoint',
    'RESUME_NOTHING',
    `expected work of an earlier analysis of ${model.name} in ${run.store.home}, found none with this text and context`,
    { suggestion: 'Check --home, --text and --chunk, or leave out --resume to begin.' },
  );
}

async function publish(stored: string, output: string | undefined): Promise<string> {
  if (output === undefined) return stored;
  const target = path.resolve(output);
  await copyIntoPlace(stored, target);
  return target;
}
