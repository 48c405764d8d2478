/** @file From a model and a budget to a plan: open, check the budget, calibrate, measure, solve. */
import { readFile } from 'node:fs/promises';
import { BitsmithError } from '@bitsmith/formats';
import type { Calibration } from '../calibrate/calibrate.js';
import { refuseNonFiniteWeights } from '../encode/finite.js';
import { fileError } from '../io/file-errors.js';
import { writeAtomically } from '../io/file-sink.js';
import { originalOf, type SourceModel } from '../model/types.js';
import type { SchemeDemand } from '../plan/container.js';
import {
  asRulePlan,
  type Budget,
  type Choice,
  type CouplingGroup,
  makePlan,
  parsePresetName,
  type Plan,
  type PlanFile,
  planFromFile,
  planFromPreset,
  type PresetName,
  presetNamed,
  priceOptions,
  readPlanFile,
  refuseNotGguf,
  rulePrices,
  type StorageType,
  tensorTypeFile,
  withoutUnit,
  type TensorOptions,
  writePlanFile,
} from '../plan/index.js';
import { parseProtection } from '../plan/protection.js';
import { parseTensorError, type QualityFit, type QualityLimit } from '../plan/quality.js';
import { presetRecipes } from '../presets/recipes.js';
import type { ShortPair } from '../refine/cosine-limit.js';
import { withPresetFloor } from '../refine/preset-floor.js';
import { type Protection, protectPlan } from '../refine/protect.js';
import type { LossBudget } from '../refine/gradual/loss-budget.js';
import type { SearchRecord } from '../refine/search-record.js';
import { refuseBadSearch, searchPlan } from '../refine/search.js';
import { inRun, type RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import type { Equalization } from '../transform/equalize/equalize.js';
import { type EqualizationReport, equalizationReport } from '../transform/equalize/report.js';
import { completeOptions } from './complete-options.js';
import { parseEqualize } from '../transform/equalize/parse.js';
import { equalizedFrame } from './equalized.js';
import { knownChoices } from './known-choices.js';
import {
  likelySizes,
  NO_CORRECTION,
  optionsOf,
  planForQuality,
  type PlanSpace,
  type QualityCorrection,
} from './plan-for-quality.js';
import { type Frame, openFrame, parseFrame } from './plan-frame.js';
import type { PlanOptions } from './plan-options.js';
import { priceChoices } from './price-choices.js';
import { type Pricing, refuseBadPricing } from './pricing.js';
import { refuseBadProtection } from './refuse-bad-protection.js';
import { refuseBesidePlan } from './refuse-beside-plan.js';
import { calibrationFor, prepareTexts, type RunTexts } from './texts.js';
import { budgetFor, givenWishes, readWishes, type Wishes } from './wishes.js';

/** A plan with everything that encoding and verifying it needs. */
export interface PlannedModel {
  readonly model: SourceModel;
  readonly calibration: Calibration;
  readonly texts: RunTexts;
  readonly plan: Plan;
  /** Scheme of every tensor, in the source's order. */
  readonly schemes: readonly StorageType[];
  /** What each tensor may be stored as, and which share a scheme. */
  readonly storage: readonly TensorOptions[];
  readonly groups: readonly CouplingGroup[];
  /** The priced candidates; none for a plan that was given. */
  readonly choices: readonly Choice[];
  /** Makes the plan again without what a written file showed to move weights too far; null for a plan that was given. */
  readonly again: ((short: readonly ShortPair[]) => Work<PlannedModel>) | null;
  /** Null for a plan that was given. */
  readonly pricing: Pricing | null;
  /** Null where no quality was asked for. */
  readonly quality: PlannedQuality | null;
  /** Null where nothing was searched. */
  readonly search: SearchRecord | null;
  /** Null where no super weights were to be protected. */
  readonly protection: Protection | null;
  /** Null where channels were left as they are. */
  readonly equalization: Equalization | null;
}

/** A plan, and how it was searched for. */
export interface PlanResult extends Plan {
  /** Null where nothing was searched. */
  readonly search: SearchRecord | null;
  /** Null where no super weights were to be protected. */
  readonly protection: Protection | null;
  /** Null where channels were left as they are. */
  readonly equalization: EqualizationReport | null;
}

/** What a plan was made to meet. */
export interface PlannedQuality {
  readonly limits: readonly QualityLimit[];
  readonly fit: QualityFit | null;
  /** What earlier files of the run taught. */
  readonly correction: QualityCorrection;
  /** Makes the plan again. */
  readonly again: (correction: QualityCorrection) => Work<PlannedModel>;
}

/**
 * Plans without encoding.
 * @throws BitsmithError `BUDGET_IMPOSSIBLE` before anything is measured, naming the smallest and largest possible sizes.
 */
export async function* plan(options: PlanOptions): Work<PlanResult> {
  return yield* inRun(options, async function* (run) {
    const completed = yield* completeOptions(run, options);
    const { plan: made, search, protection, equalization } = yield* planModel(run, completed);
    return { ...made, search, protection, equalization: equalizationReport(equalization) };
  });
}

/**
 * The steps of planning inside a run that may go on.
 * @param output the file that the run will write, where it is known by now
 * @param container what will be written of the plan: schemes that it cannot hold are refused at once
 */
export async function* planModel(
  run: RunContext,
  options: PlanOptions,
  output?: string,
  container?: 'gguf',
): Work<PlannedModel> {
  const asked = parseFrame(options, output, container);
  const preset = options.preset === undefined ? null : parsePresetName(options.preset);
  const given = options.planFile !== undefined || preset !== null;
  if (given) refuseBesidePlan(options);
  const byHand = options.tensors !== undefined && givenWishes(options).length === 0;
  const wishes = given ? null : byHand ? NO_WISHES : readWishes(options);
  refuseBadPricing(options);
  refuseBadSearch(options);
  refuseBadProtection(options);
  if (options.maxTensorError !== undefined) parseTensorError(options.maxTensorError);
  parseEqualize(options);
  const opened = yield* openFrame(run, options, asked);
  const { model, storage } = opened;
  if (wishes === NO_WISHES) refuseOpenTensors(storage);
  const planFile = options.planFile === undefined ? null : await loadPlanFile(options.planFile, model);
  if (asked.inGguf) refuseNotGguf(demandsOfFile(planFile));
  if (wishes !== null) await budgetFor(run, wishes, opened);
  await refuseNonFiniteWeights(run, model);
  const texts = await prepareTexts(run, model, opened.corpus, options);
  const frame = yield* equalizedFrame(run, opened, texts.calibration, options, asked);
  const budget = wishes === null ? null : await budgetFor(run, wishes, frame);
  const calibration = yield* calibrationFor(run, frame.model, texts, options);

  const prepared: Prepared = { run, frame, options, texts, calibration };
  if (planFile !== null) return await finished(prepared, fromFile(prepared, planFile));
  if (preset !== null) return await finished(prepared, await fromPreset(prepared, preset));
  return yield* solved(prepared, wishes as Wishes, budget as Budget);
}

/** What every way to a plan starts from. */
interface Prepared {
  readonly run: RunContext;
  readonly frame: Frame;
  readonly options: PlanOptions;
  readonly texts: RunTexts;
  readonly calibration: Calibration;
}

const sourceOf = ({ frame: { model } }: Prepared): Plan['source'] => ({
  name: model.name,
  sha256: originalOf(model).sha256,
});

function fromFile(prepared: Prepared, file: PlanFile): Plan {
  const { model, headerBytes, locks, groups } = prepared.frame;
  return planFromFile({
    source: sourceOf(prepared),
    file,
    tensors: model.tensors,
    headerBytes,
    locks,
    groups,
  });
}

async function fromPreset(prepared: Prepared, name: PresetName): Promise<Plan> {
  const { run, frame } = prepared;
  const { model, storage, headerBytes } = frame;
  const preset = presetNamed(name, await presetRecipes(run, model), frame);
  return planFromPreset({ source: sourceOf(prepared), preset, storage, headerBytes });
}

/** Prices, the knapsack, and what true losses make of its plan. */
async function* solved(prepared: Prepared, { sizes, limits }: Wishes, budget: Budget): Work<PlannedModel> {
  const { run, frame, options, texts, calibration } = prepared;
  const { storage, groups, headerBytes } = frame;
  const { search } = texts;
  const byRules = options.method === 'rules';
  const sizesOf = (known: readonly Choice[]): readonly number[] =>
    likelySizes(limits, known, groups, budget.dataBytes);
  const pricing = byRules ? null : yield* priceChoices(run, frame, { calibration, search, sizesOf }, options);
  const priced =
    pricing === null
      ? withoutUnit(priceOptions(storage, rulePrices(storage)))
      : priceOptions(storage, pricing.measured);
  const choices = yield* knownChoices(run, { ...frame, calibration, budget }, priced, options);
  const open = { ...frame, storage: optionsOf(choices, storage) };
  let searched: SearchRecord | null = null;
  let protection: Protection | null = null;
  const protect = parseProtection(options);
  const solveWithin = async function* (space: PlanSpace, limit: LossBudget | null): Work<Plan> {
    const planOf = (open: readonly Choice[]): Plan =>
      makePlan({ source: sourceOf(prepared), groups, ...space, choices: open, headerBytes });
    const best = planOf(space.choices);
    let made = byRules ? asRulePlan(best, storage, headerBytes) : best;
    let within = { ...frame, ...space, calibration, search };
    if (protect !== null) {
      const { coverage, floorTokens } = options;
      const how = { ...protect, coverage, floorTokens, spikeText: texts.calibration, solveAgain: planOf };
      const kept = yield* protectPlan(run, made, { ...within, ...how });
      ({ plan: made, protection } = kept);
      within = { ...within, choices: kept.choices };
    }
    const calibrationText = texts.calibration;
    const refined = yield* searchPlan(run, made, { ...within, limit, options, calibrationText });
    searched = refined.record;
    const { floorTokens } = options;
    const last = yield* withPresetFloor(run, refined.plan, { ...within, floorTokens });
    // A preset that loses less knows nothing of protection.
    if (protection !== null && last.presetFloor?.winner === 'preset')
      protection = { ...protection, taken: false };
    return last;
  };
  const sizeRequest = sizes.length === 0 ? null : sizes.map(({ text }) => text).join(' and ');
  const { qualityTokens } = options;
  const request = { ...open, run, calibration, search, choices, budget, limits, sizeRequest, qualityTokens };
  const planFor = async function* (correction: QualityCorrection): Work<PlannedModel> {
    const { plan: made, fit } = yield* planForQuality(request, correction, solveWithin);
    const quality = limits.length === 0 ? null : { limits, fit, correction, again: planFor };
    const again = (short: readonly ShortPair[]): Work<PlannedModel> =>
      planFor({ ...correction, short: [...correction.short, ...short] });
    return await finished(prepared, made, { again, pricing, choices, quality, search: searched, protection });
  };
  return yield* planFor(NO_CORRECTION);
}

/** Saves the plan where that was asked for. */
async function finished(
  { frame: { model, storage, groups, equalization }, options, texts, calibration }: Prepared,
  made: Plan,
  how: Found = GIVEN,
): Promise<PlannedModel> {
  await savePlan(made, model, options);
  const schemes = made.tensors.map(({ scheme }) => scheme as StorageType);
  return {
    model,
    calibration,
    texts,
    plan: made,
    schemes,
    storage,
    groups,
    equalization,
    ...how,
  };
}

/** What solving found out. */
type Found = Pick<PlannedModel, 'again' | 'pricing' | 'choices' | 'quality' | 'search' | 'protection'>;

/** Nothing was measured for a plan that was given. */
const GIVEN: Found = {
  again: null,
  pricing: null,
  choices: [],
  quality: null,
  search: null,
  protection: null,
};

/** A plan by hand: no budget is needed where nothing is left to choose. */
const NO_WISHES: Wishes = { sizes: [], limits: [] };

function refuseOpenTensors(storage: readonly TensorOptions[]): void {
  const open = storage.filter(({ options }) => options.length > 1).map(({ tensor }) => tensor.name);
  if (open.length === 0) return;
  const more = open.length > 3 ? ` and ${open.length - 3} more` : '';
  throw new BitsmithError(
    'arguments',
    'BUDGET_MISSING',
    `expected a budget, or a scheme for every tensor: ${open.slice(0, 3).join(', ')}${more} have none`,
    {
      expected: 'a budget, for example --bpw 3.5',
      found: `${open.length} tensors without a scheme`,
      suggestion: 'Give a budget to have them planned around the others, or name them, too.',
    },
  );
}

function demandsOfFile(file: PlanFile | null): SchemeDemand[] {
  return [...(file?.schemes ?? [])].map(([tensor, scheme]) => ({
    scheme,
    where: `plan file, line ${file?.lines.get(tensor)}: ${tensor}`,
  }));
}

async function loadPlanFile(file: string, model: SourceModel): Promise<ReturnType<typeof readPlanFile>> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw fileError(error, file, 'read');
  }
  return readPlanFile(text, model);
}

/** Writes the plan where the user asked for it. */
export async function savePlan(made: Plan, model: SourceModel, options: PlanOptions): Promise<void> {
  const save = async (file: string, text: string): Promise<void> =>
    writeAtomically(file, (sink) => sink.write(new TextEncoder().encode(text)));
  if (options.savePlan !== undefined) await save(options.savePlan, writePlanFile(made));
  if (options.tensorTypeFile !== undefined)
    await save(options.tensorTypeFile, tensorTypeFile(made, model.tensors));
}
