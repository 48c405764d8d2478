/**
 * @file Size against predicted loss for every budget, from one measurement. What is measured is what plans of common sizes and
 * llama.cpp's presets need; a plan of any size then takes its prices from the store.
 */
import { BitsmithError } from '@bitsmith/formats';
import { refuseNonFiniteWeights } from '../encode/finite.js';
import {
  canPredict,
  type FittedPlan,
  measurePrediction,
  type Prediction,
} from '../measure/whole-plans/measure-prediction.js';
import { type KlFit, predictKl } from '../measure/whole-plans/predict.js';
import { dataRange } from '../plan/options.js';
import { type ParetoCurve, paretoCurve, type PredictedTotal, printedSizes } from '../plan/pareto.js';
import { type Preset, presetPlans } from '../plan/presets/presets.js';
import { priceOptions } from '../plan/price.js';
import type { PriceSums } from '../plan/price-sums.js';
import type { Choice } from '../plan/types.js';
import { originalOf } from '../model/types.js';
import { presetRecipes } from '../presets/recipes.js';
import { inRun, type RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import type { TextUse } from './record.js';
import { spreadChunks } from '../text/tokenize.js';
import type { Calibration } from '../calibrate/calibrate.js';
import { completeOptions } from './complete-options.js';
import { parseEqualize } from '../transform/equalize/parse.js';
import { equalizedFrame } from './equalized.js';
import { type Frame, openFrame, parseFrame } from './plan-frame.js';
import type { PlanOptions } from './plan-options.js';
import { priceChoices } from './price-choices.js';
import { DEFAULT_PROBE_TOKENS, refuseBadPricing } from './pricing.js';
import { calibrationFor, prepareTexts, type RunTexts } from './texts.js';
import { givenWishes } from './wishes.js';

/** Options of a plan; a budget, a plan that is given, a search and files to write have no place beside a curve. */
export interface ParetoOptions extends PlanOptions {
  /** Whole plans whose true loss is measured to read totals by; default 6, 0 for plain sums of prices. */
  readonly plans?: number;
}

export interface ParetoResult extends ParetoCurve {
  readonly status: 'success';
  readonly model: {
    /** As the user named it. */
    readonly location: string;
    readonly name: string;
    readonly architecture: string;
    readonly sha256: string;
    readonly parameterCount: number;
    /** Bytes of the source as GGUF. */
    readonly byteLength: number;
  };
  /** What the plans of the fit were measured on; null for plain sums. */
  readonly text: TextUse | null;
  readonly seed: number;
  /**
   * KL = a S + b D^2.5 with S the `priceSum` and D the `bodySum`, straight on beyond the largest D measured; null for plain sums,
   * where no plans were measured.
   */
  readonly fit: TotalsFit | null;
}

/** How totals are read, and what that rests on. */
export interface TotalsFit extends Pick<
  KlFit,
  'a' | 'b' | 'relativeError' | 'plans' | 'range' | 'mostBodySum'
> {
  readonly measured: readonly Omit<FittedPlan, 'sequenceKlNats'>[];
}

/** Measures once, and prices every budget. */
export async function* pareto(options: ParetoOptions): Work<ParetoResult> {
  return yield* inRun(options, (run) => paretoIn(run, options));
}

async function* paretoIn(run: RunContext, given: ParetoOptions): Work<ParetoResult> {
  refuseBesidePareto(given);
  const options = yield* completeOptions(run, given, { needsBudget: false });
  refuseRules(options);
  const asked = parseFrame(options);
  refuseBadPricing(options);
  parseEqualize(options);
  const opened = yield* openFrame(run, options, asked);
  await refuseNonFiniteWeights(run, opened.model);
  const texts = await prepareTexts(run, opened.model, opened.corpus, options);
  const frame = yield* equalizedFrame(run, opened, texts.calibration, options, asked);
  const { model, storage, groups, headerBytes } = frame;
  const presets = presetPlans(await presetRecipes(run, model), storage, headerBytes, groups);
  const calibration = yield* calibrationFor(run, model, texts, options);
  const choices = yield* pricedFor(run, frame, presets, { calibration, texts }, options);
  const { prediction, text } = yield* fitTotals(run, frame, choices, { calibration, texts }, options);
  const { location, name, architecture, sha256, parameterCount, byteLength } = originalOf(model);
  const curve = paretoCurve({
    choices,
    groups,
    headerBytes,
    parameterCount,
    readTotal: prediction === null ? undefined : (sums) => readTotal(prediction.fit, sums),
    presets,
  });
  return {
    status: 'success',
    model: { location, name, architecture, sha256, parameterCount, byteLength },
    text,
    seed: run.seed,
    fit: prediction === null ? null : summaryOf(prediction),
    ...curve,
  };
}

function readTotal(fit: KlFit, sums: PriceSums): PredictedTotal {
  return sums.priceSum === 0 ? { klNats: 0, low: 0, high: 0 } : predictKl(fit, sums);
}

function summaryOf({ fit, plans }: Prediction): TotalsFit {
  const { a, b, relativeError, range, mostBodySum } = fit;
  const measured = plans.map(({ sequenceKlNats: _sequences, ...plan }) => plan);
  return { a, b, relativeError, plans: fit.plans, range, mostBodySum, measured };
}

/** A curve is of all budgets: what asks for one plan would be passed over in silence. */
function refuseBesidePareto(options: ParetoOptions): void {
  const { planFile, preset, savePlan, tensorTypeFile, search, protectSuperWeights, maxTensorError } = options;
  const flags = {
    plan: planFile,
    preset,
    'save-plan': savePlan,
    'tensor-type-file': tensorTypeFile,
    search,
    'max-tensor-error': maxTensorError,
  };
  const given = [
    ...givenWishes(options),
    ...Object.entries(flags).flatMap(([flag, value]) => (value === undefined ? [] : `--${flag} ${value}`)),
    ...(protectSuperWeights === true ? ['--protect-super-weights'] : []),
  ];
  if (given.length === 0) return;
  throw new BitsmithError(
    'arguments',
    'PLAN_BESIDE_PARETO',
    `expected a curve of all budgets or one plan, found both: --pareto ${given.join(' ')}`,
    {
      expected: '--pareto without a budget, a plan, a preset, a search or a file to write',
      found: given.join(' '),
      suggestion: 'Leave out --pareto for one plan, or the others for the curve.',
    },
  );
}

/** A curve of losses needs prices that are losses. */
function refuseRules({ method }: ParetoOptions): void {
  if (method !== 'rules') return;
  throw new BitsmithError(
    'arguments',
    'RULES_BESIDE_PARETO',
    'expected measured prices for a curve of losses, found --method rules, which knows no losses',
    {
      expected: 'gradient or probe',
      found: 'rules',
      suggestion: 'Leave out --method, or ask for one plan: --bpw 4 --method rules.',
    },
  );
}

interface Measured {
  readonly calibration: Calibration;
  readonly texts: RunTexts;
}

/** Prices what plans of common sizes could use, and what the presets do. */
async function* pricedFor(
  run: RunContext,
  frame: Frame,
  presets: readonly Preset[],
  { calibration, texts }: Measured,
  options: ParetoOptions,
): Work<readonly Choice[]> {
  const { storage, headerBytes, model } = frame;
  const printed = printedSizes(dataRange(storage), model.parameterCount);
  const sizes = [...printed, ...presets.map(({ bytes }) => bytes - headerBytes)];
  const pricing = yield* priceChoices(
    run,
    frame,
    {
      calibration,
      search: texts.search,
      sizesOf: () => sizes,
      always: ({ tensor, scheme }) => presets.some(({ schemes }) => schemes.get(tensor) === scheme),
    },
    options,
  );
  return priceOptions(storage, pricing.measured);
}

/** The fit that totals are read by; none where nothing was measured to fit, or none was asked for. */
async function* fitTotals(
  run: RunContext,
  { model, groups }: Frame,
  choices: readonly Choice[],
  { calibration, texts }: Measured,
  { plans, probeTokens = DEFAULT_PROBE_TOKENS }: ParetoOptions,
): Work<{ prediction: Prediction | null; text: TextUse | null }> {
  const { parameterCount } = model;
  const request = { parameterCount, plans, groups, seed: run.seed, interactions: null };
  if (plans === 0 || !canPredict(choices, request)) {
    return { prediction: null, text: null };
  }
  const text = spreadChunks(texts.search, probeTokens);
  const live = { run, model, calibration, text };
  const prediction = yield* measurePrediction(live, choices, request);
  const tokens = text.chunks.length * text.contextTokens;
  return { prediction, text: { name: text.name, sha256: text.sha256, tokens } };
}
