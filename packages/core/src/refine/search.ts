/**
 * @file A solved plan refined on true loss: which search, within what, and what the plan says of it. The result is a plan of the same
 * budget that was measured not to lose more than the one given.
 */
import { BitsmithError } from '@bitsmith/formats';
import { type LearnedOptions, learnedSettings } from '../encode/learned/options.js';
import { assemblePlan } from '../plan/plan.js';
import { presetPlans } from '../plan/presets/presets.js';
import { pricesNear } from '../plan/solve.js';
import { explained, plannedTensor } from '../plan/reasons.js';
import type { Plan, PlannedTensor } from '../plan/types.js';
import { presetRecipes } from '../presets/recipes.js';
import type { RunContext } from '../run/context.js';
import type { TokenizedText } from '../text/tokenize.js';
import type { Work } from '../run/events.js';
import { type Assignment, assignmentOf, bytesOf, priceSumOf } from './assignment.js';
import { evolve } from './evolve/evolve.js';
import { type EvolveOptions, evolveSettings } from './evolve/options.js';
import { searchSpace } from './genes.js';
import { gradual } from './gradual/gradual.js';
import type { LossBudget } from './gradual/loss-budget.js';
import { learnedRounding } from './gradual/learned-rounding.js';
import { type GradualOptions, gradualSettings } from './gradual/options.js';
import { plainRounding, type RoundingMethod } from './gradual/rounding.js';
import type { PricedModel } from './priced-model.js';
import type { SearchRecord } from './search-record.js';
import type { NamedPlan } from './verdict.js';

/** `none`: the plan by prices. `evolve`: plans of its size, bred on true loss. `gradual`: step by step down from the weights as
 * stored, to its size or to a limit of loss. */
export type SearchMethod = 'none' | 'evolve' | 'gradual';

const methods: readonly SearchMethod[] = ['none', 'evolve', 'gradual'];

export interface SearchOptions {
  /** How a solved plan is refined on true loss; default `none`. */
  readonly search?: SearchMethod;
  /** Tokens that plans may run over in the search, its last check included. */
  readonly searchTokens?: number;
  readonly evolve?: EvolveOptions;
  readonly gradual?: GradualOptions;
  /** How rounding is learned, where `--encoder learned` asks for it. */
  readonly learned?: LearnedOptions;
}

/** @throws BitsmithError `SEARCH_UNKNOWN`, `SEARCH_INVALID`, `LEARNED_INVALID`, `SEARCH_MISSING` for tokens without a search */
export function refuseBadSearch(options: SearchOptions): void {
  const { search = 'none', searchTokens } = options;
  if (!methods.includes(search)) {
    throw new BitsmithError(
      'arguments',
      'SEARCH_UNKNOWN',
      `expected ${methods.join(', ')} as the search, found '${String(search)}'`,
    );
  }
  if (search === 'none' && searchTokens !== undefined) {
    throw new BitsmithError(
      'arguments',
      'SEARCH_MISSING',
      `expected a search beside --search-tokens ${searchTokens}, found none`,
      { suggestion: 'Add --search evolve or --search gradual.' },
    );
  }
  evolveSettings(evolveOptions(options));
  learnedSettings(options.learned);
  gradualSettings(gradualOptions(options));
}

export interface PlanSearch extends PricedModel {
  readonly options: SearchOptions;
  /** What a rounding that is learned learns from. */
  readonly calibrationText: TokenizedText;
  /** Where the plan is the smallest within a limit of loss. */
  readonly limit?: LossBudget | null;
}

export interface Searched {
  readonly plan: Plan;
  /** Null where nothing was searched. */
  readonly record: SearchRecord | null;
}

/** Refines a plan as the options say. */
export async function* searchPlan(run: RunContext, made: Plan, input: PlanSearch): Work<Searched> {
  const { search = 'none' } = input.options;
  // A plan that changes nothing loses nothing.
  if (search === 'none' || made.predicted.klNats === 0) return { plan: made, record: null };
  const { model, calibration, choices, groups, headerBytes } = input;
  const assignment = assignmentOf(
    choices,
    new Map(made.tensors.map(({ tensor, scheme }) => [tensor, scheme])),
  );
  if (assignment === null) {
    yield {
      type: 'note',
      level: 'warning',
      message: 'No search: the plan has schemes that were not priced.',
    };
    return { plan: made, record: null };
  }
  const blocks = new Map(model.tensors.map(({ name, block }) => [name, block]));
  const near = pricesNear(choices, assignment);
  const space = searchSpace(
    near.choices,
    made.budget.bytes - headerBytes,
    (tensor) => blocks.get(tensor) ?? null,
    groups.map(({ tensors }) => tensors),
  );
  const common = { live: { run, model, calibration }, space, plan: assignment, text: input.search };
  const found =
    search === 'evolve'
      ? yield* evolve({
          ...common,
          predictedNats: near.klNats,
          presets: await fittingPresets(run, made, input),
          options: evolveOptions(input.options),
        })
      : yield* gradual({
          ...common,
          limit: input.limit,
          options: gradualOptions(input.options),
          roundings: roundingsOf(run, input),
        });
  const bytes = headerBytes + bytesOf(choices, found.assignment);
  // A smaller plan within a limit of loss is a smaller budget for whatever comes after it.
  const smaller = found.record.verdict.limit !== null && bytes < made.budget.bytes;
  const within = smaller ? { ...made, budget: { ...made.budget, bytes } } : made;
  return { plan: planOf(within, input, found.assignment, search), record: found.record };
}

/** Where rounding may be learned, it is what a step is tried with that fails by plain codes. */
function roundingsOf(
  run: RunContext,
  { model, calibration, calibrationText: text, options }: PlanSearch,
): RoundingMethod[] {
  if (calibration.rounding?.learned !== true) return [plainRounding];
  return [plainRounding, learnedRounding({ run, model, calibration, text, options: options.learned })];
}

function evolveOptions({ evolve: options, searchTokens }: SearchOptions): EvolveOptions {
  return { ...options, searchTokens: searchTokens ?? options?.searchTokens };
}

function gradualOptions({ gradual: options, searchTokens }: SearchOptions): GradualOptions {
  return { ...options, searchTokens: searchTokens ?? options?.searchTokens };
}

/** Each takes its share of the tokens. */
const MOST_PRESETS = 3;

/** Presets within the budget whose schemes are priced, those of least predicted loss first. */
async function fittingPresets(
  run: RunContext,
  { budget }: Plan,
  { model, storage, headerBytes, groups, choices }: PlanSearch,
): Promise<NamedPlan[]> {
  const recipes = await presetRecipes(run, model);
  return presetPlans(recipes, storage, headerBytes, groups)
    .filter(({ bytes }) => bytes <= budget.bytes)
    .flatMap(({ name, schemes }): NamedPlan[] => {
      const assignment = assignmentOf(choices, schemes);
      return assignment === null ? [] : [{ name, assignment }];
    })
    .toSorted((a, b) => priceSumOf(choices, a.assignment) - priceSumOf(choices, b.assignment))
    .slice(0, MOST_PRESETS);
}

/** The plan with what the search changed. */
function planOf(
  made: Plan,
  { choices, headerBytes }: PlanSearch,
  assignment: Assignment,
  search: SearchMethod,
): Plan {
  const tensors = made.tensors.map((line, index): PlannedTensor => {
    const choice = choices[index];
    const candidate = choice.candidates[assignment[index]];
    if (candidate.scheme === line.scheme) return line;
    const { reason: _, ...rest } = plannedTensor(choice, candidate);
    const note = `by true loss (--search ${search}), where prices say ${line.scheme}`;
    return explained({ ...rest, decidedBy: { kind: 'search', note } });
  });
  const { source, budget, predicted } = made;
  return assemblePlan({ source, budget, headerBytes, tensors, klLowerBound: predicted.klLowerBound });
}
