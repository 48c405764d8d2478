/**
 * @file A plan is never worse than a preset of the same size. Prices are estimates, and llama.cpp's presets are the sum of much
 * experience: the best of them that fit the budget run beside the plan on the same text in the live model, and where one
 * loses less, the user gets it, and is told.
 */
import { BitsmithError } from '@bitsmith/formats';
import type { Variant } from '../measure/live/change.js';
import { planVariant } from '../measure/live/plan-variant.js';
import { roomForEncoded } from '../encode/room-for-encoded.js';
import { gatherVariants, type LiveMeasurement } from '../measure/live/variants.js';
import type { TrueLoss } from '../measure/live/variants-task.js';
import { planFromPreset } from '../plan/presets/preset-plan.js';
import { type Preset, presetPlans } from '../plan/presets/presets.js';
import type { StorageType } from '../plan/schemes.js';
import type { Choice, Plan, PresetFloor } from '../plan/types.js';
import { formatNats } from '../plan/units.js';
import { presetRecipes } from '../presets/recipes.js';
import type { RunContext } from '../run/context.js';
import type { RunEvent, Work } from '../run/events.js';
import { stage } from '../run/work.js';
import { spreadChunks } from '../text/tokenize.js';
import { pairedDifference } from './paired.js';
import type { PricedModel } from './priced-model.js';

/** Differences of a few percent can be told on so many: both plans run over the same tokens. */
const DEFAULT_FLOOR_TOKENS = 4096;

export interface FloorInput extends PricedModel {
  /** Tokens to measure on, at most; default 4,096. */
  readonly floorTokens?: number;
}

/**
 * The plan, or the preset that loses less within the same bytes; either way with both losses in `presetFloor`.
 * @throws BitsmithError `RECIPE_FAILED`, `RECIPE_UNREADABLE`, `LOGITS_NOT_FINITE`
 */
export async function* withPresetFloor(run: RunContext, made: Plan, input: FloorInput): Work<Plan> {
  // A plan that changes nothing loses nothing.
  if (made.predicted.klNats === 0) return made;
  const { model, storage, groups, headerBytes, choices } = input;
  const recipes = await presetRecipes(run, model);
  const presets = presetPlans(recipes, storage, headerBytes, groups);
  const fitting = presets.filter((preset) => preset.bytes <= made.budget.bytes && !isPlan(preset, made));
  const contestants = strongest(fitting, choices);
  if (contestants.length === 0) return made;
  const comparison = yield* asMemoryAllows(compare(run, made, contestants, input));
  if (comparison === null) return made;
  const { best, floor } = comparison;
  if (floor.winner === 'plan') return { ...made, presetFloor: floor };
  yield { type: 'note', level: 'warning', message: wonMessage(floor) };
  // Prices that were not measured only told which preset to try.
  const priced = made.predicted.evidence !== 'assumed';
  const plan = planFromPreset({
    source: made.source,
    preset: best,
    storage,
    headerBytes,
    budget: made.budget,
    choices: priced ? choices : [],
    klLowerBound: made.predicted.klLowerBound,
  });
  return { ...plan, presetFloor: floor };
}

/** The plan itself, found by prices or left by locks. */
function isPlan({ schemes }: Preset, { tensors }: Plan): boolean {
  return tensors.every(({ tensor, scheme }) => schemes.get(tensor) === scheme);
}

/** Predicted losses this near are one: which of the presets loses less is not known before they ran. */
const NEAR = 1.1;

/**
 * At most two: the presets of least predicted loss, and the largest where it has no price. What has none stores some tensor in
 * a scheme that no best plan uses, but that is the prices' opinion.
 */
function strongest(fitting: readonly Preset[], choices: readonly Choice[]): readonly Preset[] {
  const prices = pricesOf(choices);
  const ranked = fitting
    .map((preset) => ({ preset, klNats: priceSum(preset, prices) }))
    .toSorted((a, b) => a.klNats - b.klNats);
  const near = ranked.filter(({ klNats }) => klNats <= ranked[0].klNats * NEAR && klNats < Infinity);
  const largest = ranked.filter(({ preset, klNats }) => preset === fitting.at(-1) && klNats === Infinity);
  return [...near.slice(0, 2 - largest.length), ...largest].map(({ preset }) => preset);
}

type Prices = ReadonlyMap<string, ReadonlyMap<string, number>>;

function pricesOf(choices: readonly Choice[]): Prices {
  return new Map(
    choices.map(({ tensor, candidates }) => [
      tensor,
      new Map(candidates.map(({ scheme, klNats }) => [scheme, klNats])),
    ]),
  );
}

/** Infinite where something has no price. */
function priceSum({ schemes }: Preset, prices: Prices): number {
  return [...schemes].reduce(
    (sum, [tensor, scheme]) => sum + (prices.get(tensor)?.get(scheme) ?? Infinity),
    0,
  );
}

const memoryCodes: ReadonlySet<string> = new Set([
  'MEMORY_TOO_SMALL',
  'ENGINE_OUT_OF_MEMORY',
  'ENGINE_KILLED',
]);

/**
 * A whole plan in the live model takes memory for all of its weights. A machine that has no room for them can still encode
 * them one by one, so it goes without the comparison, and says so.
 */
export async function* asMemoryAllows<Result>(work: Work<Result>): Work<Result | null> {
  try {
    return yield* work;
  } catch (error) {
    if (!(error instanceof BitsmithError) || !memoryCodes.has(error.code)) throw error;
    const message = `The plan was not compared with a preset of llama.cpp: ${error.message}`;
    yield { type: 'note', level: 'warning', message };
    return null;
  }
}

interface Comparison {
  readonly best: Preset;
  readonly floor: PresetFloor;
}

/** Runs plan and presets over the same tokens; null where no preset's predictions are numbers. */
async function* compare(
  run: RunContext,
  made: Plan,
  contestants: readonly Preset[],
  { model, calibration, search, floorTokens = DEFAULT_FLOOR_TOKENS }: FloorInput,
): Work<Comparison | null> {
  const text = spreadChunks(search, floorTokens);
  const live = { run, model, calibration, text, encodedCacheBytes: roomForEncoded() };
  const names = contestants.map(({ name }) => name).join(' and ');
  return yield* stage('refine', `the plan beside ${names} on ${text.name}`, async function* () {
    const schemes = new Map(made.tensors.map(({ tensor, scheme }) => [tensor, scheme as StorageType]));
    const plan = planVariant(model, PLAN, schemes);
    const presets = contestants.map((preset) => planVariant(model, preset.name, preset.schemes));
    const { losses, cached } = yield* lossesOf(live, plan, presets);
    const measured = contestants.flatMap((preset) => {
      const loss = losses.get(preset.name);
      return loss === undefined ? [] : [{ preset, loss }];
    });
    const [best] = measured.toSorted((a, b) => a.loss.klNats - b.loss.klNats);
    if (best === undefined) return { result: null, summary: `${names}: not finite`, cached };
    const tokens = text.chunks.length * text.contextTokens;
    const floor = floorOf(best.preset, losses.get(PLAN) as TrueLoss, best.loss, tokens);
    const { planKlNats, presetKlNats } = floor;
    const summary = `the plan loses ${formatNats(planKlNats.value)} nats, ${floor.preset} ${formatNats(presetKlNats.value)}`;
    return { result: { best: best.preset, floor }, summary, cached };
  });
}

/** No preset is named so. */
const PLAN = 'plan';

interface Losses {
  readonly losses: ReadonlyMap<string, TrueLoss>;
  readonly cached: boolean;
}

/** All in one go; a preset under which the model overflows is no reason to go without a plan, and is left out. */
async function* lossesOf(
  live: LiveMeasurement,
  plan: Variant,
  presets: readonly Variant[],
): AsyncGenerator<RunEvent, Losses, void> {
  const together = async function* (variants: readonly Variant[]): AsyncGenerator<RunEvent, Losses, void> {
    const { values, cached } = yield* gatherVariants(live, variants, 'whole plans in the live model');
    return { losses: new Map(variants.map(({ id }, index) => [id, values[index]])), cached };
  };
  try {
    return yield* together([plan, ...presets]);
  } catch (error) {
    if (!overflows(error)) throw error;
  }
  const losses = new Map((yield* together([plan])).losses);
  for (const preset of presets) {
    try {
      for (const [id, loss] of (yield* together([preset])).losses) losses.set(id, loss);
    } catch (error) {
      if (!overflows(error)) throw error;
    }
  }
  return { losses, cached: false };
}

function overflows(error: unknown): boolean {
  return error instanceof BitsmithError && error.code === 'LOGITS_NOT_FINITE';
}

/** A draw goes to the plan. */
function floorOf({ name, bytes }: Preset, plan: TrueLoss, preset: TrueLoss, tokens: number): PresetFloor {
  const { nats, standardError } = pairedDifference(plan.sequenceKlNats, preset.sequenceKlNats);
  return {
    preset: name,
    presetBytes: bytes,
    presetKlNats: { value: preset.klNats, standardError: preset.standardError },
    planKlNats: { value: plan.klNats, standardError: plan.standardError },
    differenceNats: { value: nats, standardError: Number.isFinite(standardError) ? standardError : null },
    winner: preset.klNats < plan.klNats ? 'preset' : 'plan',
    tokens,
    evidence: 'measured',
  };
}

function wonMessage({ preset, presetKlNats, planKlNats }: PresetFloor): string {
  const figures = `${formatNats(presetKlNats.value)} nats a token against ${formatNats(planKlNats.value)}`;
  return `llama.cpp's ${preset} loses less than the plan that was made (${figures}): the plan is ${preset}.`;
}
