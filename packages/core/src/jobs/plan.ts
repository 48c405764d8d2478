/** @file From a model and a budget to a plan: open, check the budget, calibrate, measure, solve. */
import { readFile } from 'node:fs/promises';
import { BitsmithError } from '@bitsmith/formats';
import { adoptCalibration, calibrate, type Calibration, datasetOf } from '../calibrate/calibrate.js';
import { refuseNonFiniteWeights } from '../encode/finite.js';
import { fileError } from '../io/file-errors.js';
import { writeAtomically } from '../io/file-sink.js';
import { readImportance } from '../io/read-importance.js';
import { membersOf, type SchemeGroup } from '../measure/errors/scheme-groups.js';
import type { Wanted } from '../measure/wanted.js';
import { openModel } from '../model/open.js';
import { tiedTensors } from '../model/tied.js';
import type { SourceModel } from '../model/types.js';
import {
  applyFloors,
  applyLocks,
  asRulePlan,
  type Budget,
  type CatalogueScheme,
  type Choice,
  coupleOptions,
  type CouplingGroup,
  couplingGroups,
  dataRange,
  type Lock,
  makePlan,
  type OpenCandidate,
  parseBudget,
  parseCouplings,
  parseFloor,
  parseLock,
  parsePresetName,
  parseSchemes,
  type Plan,
  type PlanFile,
  planFromFile,
  planFromPreset,
  presetNamed,
  priceOptions,
  readPlanFile,
  refuseNoneLegal,
  refuseNotGguf,
  resolveBudget,
  rulePrices,
  type SchemeId,
  storageOptions,
  type StorageType,
  storedBytes,
  tensorTypeFile,
  type TensorOptions,
  worthMeasuring,
  writePlanFile,
} from '../plan/index.js';
import { presetRecipes } from '../presets/recipes.js';
import { withPresetFloor } from '../refine/preset-floor.js';
import type { SchemeDemand } from '../plan/container.js';
import { inRun, type RunContext, type RunOptions } from '../run/context.js';
import type { Work } from '../run/events.js';
import type { TensorMeasurement } from '../plan/price.js';
import { type Corpus, loadCorpus } from '../text/corpus.js';
import { spreadChunks, type TokenizedText, tokenizeTexts } from '../text/tokenize.js';
import { EMPTY_HASH, layoutOutput } from '../write/gguf.js';
import { refuseSource, refuseUnwritable } from './output.js';
import { priceTensors, type Pricing, type PricingOptions, refuseBadPricing } from './pricing.js';

export interface PlanOptions extends RunOptions, PricingOptions {
  /** A `.gguf` file, a Hugging Face folder, or a hub id. */
  readonly model: string;
  /** Bytes of the whole file: `1.2GB`, `800MiB`, or a number. */
  readonly size?: string | number;
  /** Stored bits of all tensors by the number of weights. */
  readonly bitsPerWeight?: string | number;
  /** Source bytes / written bytes. */
  readonly ratio?: string | number;
  /** `REGEX=SCHEME`: matching tensors are stored so, whatever the prices say. */
  readonly locks?: readonly string[];
  /** `ROLE=SCHEME` or `ROLE=4bit`: tensors of the role get nothing below, unless they are locked. */
  readonly floors?: readonly string[];
  /** Tensors that must share a scheme: `qkv`, `gate-up`, `fused` for all, `none` (the default: GGUF needs none). */
  readonly couple?: readonly string[];
  /**
   * What the planner may choose from: schemes (`Q4_K`, `affine4-g64`, `int8`) and families (`k-quants`, `affine`, `affine4`, ...).
   * Default: all that GGUF can hold. Locks and plan files may name any.
   */
  readonly schemes?: readonly string[];
  /** A plan made earlier, perhaps edited: its schemes are taken as they are. */
  readonly planFile?: string;
  /** A preset of llama.cpp, by its name: `Q4_K_M`. Tensors get the types that llama-quantize would give them. */
  readonly preset?: string;
  /** Tokens that a plan and the best preset of its size are compared on, at most; default 4,096. */
  readonly floorTokens?: number;
  /** Where the plan goes as YAML. */
  readonly savePlan?: string;
  /** Where llama-quantize's `--tensor-type-file` goes. */
  readonly tensorTypeFile?: string;
  /** A UTF-8 text of the user's own, split in calibration, search and report parts. */
  readonly text?: string;
  /** An importance matrix made elsewhere (GGUF or legacy `.dat`) instead of calibrating. */
  readonly importanceMatrix?: string;
  /** Tokens of one chunk; default 512, or the model's own context if shorter. */
  readonly contextTokens?: number;
  /** Tokens the importance matrix is measured on, at most. */
  readonly calibrationTokens?: number;
  /** Token for gated models on the hub; default `HF_TOKEN`. */
  readonly token?: string;
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

/** A plan with everything that encoding and verifying it needs. */
export interface PlannedModel {
  readonly model: SourceModel;
  readonly calibration: Calibration;
  readonly texts: RunTexts;
  readonly plan: Plan;
  /** Scheme of every tensor, in the source's order. */
  readonly schemes: readonly StorageType[];
  /** Null for a plan that was given. */
  readonly pricing: Pricing | null;
}

/**
 * Plans without encoding.
 * @throws BitsmithError `BUDGET_IMPOSSIBLE` before anything is measured, naming the smallest and largest possible sizes.
 */
export async function* plan(options: PlanOptions): Work<Plan> {
  return yield* inRun(options, async function* (run) {
    return (yield* planModel(run, options)).plan;
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
  const outputs = [output, options.savePlan, options.tensorTypeFile].filter((file) => file !== undefined);
  for (const file of outputs) await refuseUnwritable(file);
  const locks = (options.locks ?? []).map(parseLock);
  const floors = (options.floors ?? []).map(parseFloor);
  const couplings = parseCouplings(options.couple ?? []);
  const allowed = parseSchemes(options.schemes);
  const inGguf = container === 'gguf' || options.tensorTypeFile !== undefined;
  if (inGguf) refuseNotGguf([...demandsOf(allowed), ...locks.map(demandOfLock)]);
  const preset = options.preset === undefined ? null : parsePresetName(options.preset);
  if (options.planFile === undefined && preset === null) parseBudget(budgetOf(options));
  else refuseBudgetBesidePlan(options);
  refuseBadPricing(options);
  const corpus = await loadCorpus(options.text);
  const model = yield* openModel(options.model, {
    store: run.store,
    token: options.token,
    signal: run.signal,
  });
  for (const file of outputs) await refuseSource(file, model);
  const applied = applyLocks(locks, model.tensors, tiedTensors(model));
  const groups = couplingGroups(model.tensors, couplings);
  const storage = coupleOptions(
    applyFloors(storageOptions(model.tensors, applied, undefined, allowed), floors),
    groups,
  );
  if (options.schemes !== undefined) refuseNoneLegal(storage, allowed, options.schemes);
  const dataset = await datasetName(options, corpus);
  const frame: Frame = { model, storage, groups, headerBytes: headerBytes(model, dataset) };
  const planFile = options.planFile === undefined ? null : await loadPlanFile(options.planFile, model);
  if (inGguf) refuseNotGguf(demandsOfFile(planFile));
  const budget = planFile === null && preset === null ? budgetFor(options, frame) : null;
  await refuseNonFiniteWeights(run, model);
  const texts = await prepareTexts(run, model, corpus, options);
  const calibration = yield* calibrationFor(run, model, texts, options);

  let pricing: Pricing | null = null;
  let made: Plan;
  const source = { name: model.name, sha256: model.sha256 };
  if (planFile !== null) {
    made = planFromFile({
      source,
      file: planFile,
      tensors: model.tensors,
      headerBytes: frame.headerBytes,
      locks: applied,
      groups,
    });
  } else if (preset !== null) {
    const named = presetNamed(preset, await presetRecipes(run, model), frame);
    made = planFromPreset({ source, preset: named, storage, headerBytes: frame.headerBytes });
  } else {
    const byRules = options.method === 'rules';
    if (!byRules)
      pricing = yield* measureFor(run, frame, calibration, texts.search, budget as Budget, options);
    const choices = priceOptions(storage, pricing?.measured ?? rulePrices(storage));
    made = makePlan({ source, choices, groups, budget: budget as Budget, headerBytes: frame.headerBytes });
    if (byRules) made = asRulePlan(made, storage, frame.headerBytes);
    const { floorTokens } = options;
    const floor = { ...frame, choices, calibration, search: texts.search, floorTokens };
    made = yield* withPresetFloor(run, made, floor);
  }
  await savePlan(made, model, options);
  const schemes = made.tensors.map(({ scheme }) => scheme as StorageType);
  return { model, calibration, texts, plan: made, schemes, pricing };
}

function demandsOf(allowed: readonly CatalogueScheme[]): SchemeDemand[] {
  return allowed.map(({ id }) => ({ scheme: id, where: '--schemes' }));
}

function demandOfLock({ text, scheme }: Lock): SchemeDemand {
  return { scheme, where: `lock '${text}'` };
}

function demandsOfFile(file: PlanFile | null): SchemeDemand[] {
  return [...(file?.schemes ?? [])].map(([tensor, scheme]) => ({ scheme, where: `plan file: ${tensor}` }));
}

/** What is known of the output before anything is measured. */
interface Frame {
  readonly model: SourceModel;
  readonly storage: readonly TensorOptions[];
  readonly groups: readonly CouplingGroup[];
  readonly headerBytes: number;
}

function budgetOf(options: PlanOptions): {
  size?: string | number;
  bpw?: string | number;
  ratio?: string | number;
} {
  return { size: options.size, bpw: options.bitsPerWeight, ratio: options.ratio };
}

/** A plan file or a preset has its own size: a budget beside it would be passed over in silence. */
function refuseBudgetBesidePlan(options: PlanOptions): void {
  refuseFloorsBesidePlan(options);
  if (options.planFile !== undefined && options.preset !== undefined) {
    throw new BitsmithError(
      'arguments',
      'PRESET_BESIDE_PLAN',
      `expected a plan file or a preset, found both: --plan ${options.planFile} --preset ${options.preset}`,
      { suggestion: 'Leave one of them out.' },
    );
  }
  refuseSchemesBesidePlan(options);
  const given = Object.entries(budgetOf(options)).filter(([, value]) => value !== undefined);
  if (given.length === 0) return;
  const flags = given.map(([name, value]) => `--${name} ${value}`).join(' ');
  throw new BitsmithError(
    'arguments',
    'BUDGET_BESIDE_PLAN',
    `expected a plan file, a preset or a budget, found two of them: ${flags}`,
    {
      suggestion:
        'Leave the budget out to take the plan or preset as it is, or keep the budget alone to make a new plan.',
    },
  );
}

/** What a plan file says is decided: a floor beside it would be passed over in silence. */
function refuseFloorsBesidePlan({ floors = [] }: PlanOptions): void {
  if (floors.length === 0) return;
  throw new BitsmithError(
    'arguments',
    'FLOOR_BESIDE_PLAN',
    `expected a plan file, a preset or floors, found two of them: ${floors.map((floor) => `--floor ${floor}`).join(' ')}`,
    { suggestion: 'Leave the floors out and edit the plan file, or make a new plan with them.' },
  );
}

function refuseSchemesBesidePlan({ schemes }: PlanOptions): void {
  if (schemes === undefined) return;
  throw new BitsmithError(
    'arguments',
    'SCHEMES_BESIDE_PLAN',
    `expected a plan file or schemes to choose from, found both: --schemes ${schemes.join(',')}`,
    { suggestion: 'Leave --schemes out and edit the plan file, or make a new plan with them.' },
  );
}

function budgetFor(options: PlanOptions, { model, storage, headerBytes: header }: Frame): Budget {
  return resolveBudget(parseBudget(budgetOf(options)), {
    sourceBytes: model.byteLength,
    parameterCount: model.parameterCount,
    headerBytes: header,
    data: dataRange(storage),
  });
}

/** What the importance matrix was or will be measured on: it stands in the header, so it is part of its size. */
async function datasetName(options: PlanOptions, corpus: Corpus): Promise<string> {
  if (options.importanceMatrix === undefined) return corpus.calibration.name;
  return datasetOf(await readImportance(options.importanceMatrix, options.signal));
}

/** The header's size, which does not depend on the plan: hashes and file type have a fixed length. */
function headerBytes(model: SourceModel, dataset: string): number {
  const schemes = model.tensors.map(({ type }) => type);
  return layoutOutput({ model, schemes, planHash: EMPTY_HASH, calibration: { dataset, sha256: EMPTY_HASH } })
    .header.byteLength;
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

/** Tokenizes the run's texts and cuts them to the tokens that are used. */
export async function prepareTexts(
  run: RunContext,
  model: SourceModel,
  corpus: Corpus,
  options: Pick<PlanOptions, 'contextTokens' | 'calibrationTokens'>,
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

/** The importance matrix: measured on the calibration text, or taken from the file the user names. */
export async function* calibrationFor(
  run: RunContext,
  model: SourceModel,
  texts: RunTexts,
  options: Pick<PlanOptions, 'importanceMatrix'>,
): Work<Calibration> {
  if (options.importanceMatrix !== undefined)
    return yield* adoptCalibration(run, model, options.importanceMatrix);
  return yield* calibrate(run, model, texts.calibration);
}

/** Measures what the budget needs: slow groups of schemes only where a plan could use them. */
async function* measureFor(
  run: RunContext,
  { model, storage, groups, headerBytes: header }: Frame,
  calibration: Calibration,
  search: TokenizedText,
  budget: Budget,
  options: PricingOptions,
): Work<Pricing> {
  const wanted = wantedOf(storage);
  const select = (known: readonly TensorMeasurement[], group: SchemeGroup): ReadonlySet<string> => {
    const choices = priceOptions(storage, known);
    const open = openCandidates(group, wanted, choices);
    return worthMeasuring(choices, open, budget.bytes - header, groups);
  };
  return yield* priceTensors(run, model, calibration, search, wanted, options, select);
}

/** Everything that has a choice, and what was locked to something else than it is. */
export function wantedOf(storage: readonly TensorOptions[]): Wanted[] {
  return storage
    .map(({ tensor, options }) => ({
      tensor,
      schemes: options
        .map(({ scheme }) => scheme)
        .filter((scheme): scheme is SchemeId => scheme !== tensor.type),
    }))
    .filter(({ schemes }) => schemes.length > 0);
}

/** The group's members as candidates that are not priced yet, with the bound that the group names. */
function openCandidates(
  group: SchemeGroup,
  wanted: readonly Wanted[],
  choices: readonly Choice[],
): OpenCandidate[] {
  const priced = new Map(choices.map(({ tensor, candidates }) => [tensor, candidates]));
  return wanted.flatMap(({ tensor, schemes }) => {
    if (schemes.length === 1) return [];
    const bound = priced.get(tensor.name)?.find(({ scheme }) => scheme === group.bound);
    return membersOf(group, schemes).map((scheme) => ({
      tensor: tensor.name,
      scheme,
      bytes: storedBytes(scheme, tensor.shape),
      leastNats: bound?.klNats ?? 0,
    }));
  });
}

/** Writes the plan where the user asked for it. */
async function savePlan(made: Plan, model: SourceModel, options: PlanOptions): Promise<void> {
  const save = async (file: string, text: string): Promise<void> =>
    writeAtomically(file, (sink) => sink.write(new TextEncoder().encode(text)));
  if (options.savePlan !== undefined) await save(options.savePlan, writePlanFile(made));
  if (options.tensorTypeFile !== undefined)
    await save(options.tensorTypeFile, tensorTypeFile(made, model.tensors));
}
