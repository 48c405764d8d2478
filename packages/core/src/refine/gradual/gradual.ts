/**
 * @file Gradual quantization: from the weights as stored, block by block from the least important on, down a ladder of bits, with
 * every step measured on the live model and taken back where it loses more than it may. The descent may lose more than the
 * user allows, for upgrades follow it; the user's own budget decides at the end. Where bytes are the budget, what comes out is held
 * against the solver's plan on text that nothing was selected on, and the better of the two is returned; where loss is, the smaller.
 */
import type { TensorChange, Variant } from '../../measure/live/change.js';
import type { Work } from '../../run/events.js';
import { stage } from '../../run/work.js';
import { leastSum } from '../../plan/least-sum.js';
import { type TokenizedText, tokensOf } from '../../text/tokenize.js';
import { type Assignment, bytesOf, genomeOf, variantOf } from '../assignment.js';
import type { SearchSpace } from '../genes.js';
import { PlanLedger, type PlanMeasurement } from '../plan-ledger.js';
import type { GradualRecord } from '../search-record.js';
import { divideSearchText, type SearchText } from '../search-text.js';
import { decide, type Decided, SOLVER, takenWords } from '../verdict.js';
import { descend, type MeasureStates, type PathStep, type State } from './descent.js';
import { type GlobalInput, globalPass } from './global-pass.js';
import { checksTokens, limitOnSteps, type LossBudget, smallestWithin } from './loss-budget.js';
import { type GradualOptions, gradualSettings } from './options.js';
import { memoryAnalysis, quantizationReport } from './reports.js';
import { plainRounding, type RoundingMethod } from './rounding.js';
import { stagesOf } from './stages.js';

export interface GradualInput {
  readonly live: PlanMeasurement;
  readonly space: SearchSpace;
  /** The solver's plan; what it truly loses is what the descent is granted where no limit says more. */
  readonly plan: Assignment;
  /** Loss that the user allows: the smallest plan that holds it is wanted then, not the best of the solver's bytes. */
  readonly limit?: LossBudget | null;
  /** The search text, whole. */
  readonly text: TokenizedText;
  readonly options?: GradualOptions;
  /** What is tried for a step, in order; default: the schemes' own encoders alone, whose bytes are what is written. */
  readonly roundings?: readonly RoundingMethod[];
}

/** Parts of all tokens that one measured step, and the check, may take. */
const STEP_SHARE = 1 / 64;
const CHECK_SHARE = 1 / 16;

/**
 * Descends, upgrades, and returns the better of what came of it and the solver's plan.
 * @throws BitsmithError `SEARCH_INVALID`
 */
export async function* gradual(input: GradualInput): Work<{ assignment: Assignment; record: GradualRecord }> {
  const settings = gradualSettings(input.options);
  return yield* stage('refine', `a gradual descent on ${input.text.name}`, async function* () {
    const { live, space, plan, text, limit = null } = input;
    const ledger = new PlanLedger(live, space.choices);
    const { searchTokens } = settings;
    const { levels, check } = divideSearchText(text, {
      first: searchTokens * STEP_SHARE,
      whole: searchTokens * CHECK_SHARE,
    });
    const [steps] = levels;
    const measure = measureOn(ledger, input, steps);
    const checkTokens =
      limit === null ? (check === null ? 0 : 2 * tokensOf(check)) : checksTokens(limit, searchTokens);
    const goOn = (): boolean => ledger.tokens + checkTokens < searchTokens;

    const natsPerByte = exchangeRate(space, bytesOf(space.choices, plan));
    const [solver] = yield* measure([{ assignment: plan, roundings: new Map() }]);
    ledger.refuseOverflow(plan);
    const maxKlNats = limit === null ? null : yield* limitOnSteps(ledger, limit, plan, solver.klNats);
    const { ladder, safetyMultiplier } = settings;
    const elements = new Map(live.model.tensors.map(({ name, elements: count }) => [name, count]));
    const descended = yield* descend({
      space,
      stages: stagesOf(space, ladder, natsPerByte, (tensor) => elements.get(tensor) ?? 0),
      ladder,
      natsPerByte,
      allowanceNats: (maxKlNats ?? solver.klNats) * safetyMultiplier,
      roundings: input.roundings ?? [plainRounding],
      measure,
      goOn,
    });
    const global = { space, rounding: plainRounding, measure, goOn };
    const {
      assignment,
      verdict,
      path: upgrades,
    } = limit === null || maxKlNats === null
      ? yield* bestOfBytes(ledger, global, descended.state, { plan, check, levels })
      : yield* smallestWithin({ ledger, global, limit, plan, searchTokens }, descended.state, maxKlNats);
    const path = [...descended.path, ...upgrades];
    const { tensors } = live.model;
    const record: GradualRecord = {
      search: 'gradual',
      settings,
      stepTokens: tokensOf(steps),
      path,
      quantizationReport: quantizationReport(tensors, space.choices, assignment, path),
      memoryAnalysis: memoryAnalysis(tensors, space.choices, assignment),
      verdict,
      evaluations: ledger.evaluations,
      tokens: ledger.tokens,
    };
    const rolledBack = path.filter(({ outcome }) => outcome === 'rolled-back').length;
    const summary = `${path.length} steps, ${rolledBack} rolled back, over ${ledger.tokens.toLocaleString('en-US')} tokens: ${takenWords(verdict)}`;
    return { result: { assignment, record }, summary, cached: ledger.cached };
  });
}

interface Ended extends Decided {
  readonly path: readonly PathStep[];
}

/** Upgrades until the bytes are used; the better of that and the solver's plan. */
async function* bestOfBytes(
  ledger: PlanLedger,
  global: Omit<GlobalInput, 'maxKlNats'>,
  from: State,
  { plan, check, levels }: { plan: Assignment } & SearchText,
): Work<Ended> {
  const { choices } = global.space;
  const { state, path } = yield* globalPass({ ...global, maxKlNats: null }, from);
  const same = genomeOf(choices, state.assignment) === genomeOf(choices, plan);
  const seeds = [{ name: SOLVER, assignment: plan }];
  return {
    path,
    ...(yield* decide(ledger, { seeds, found: same ? null : state.assignment, check, levels })),
  };
}

/** The exchange rate between bytes and nats, where so many bytes are spent. */
function exchangeRate({ genes }: SearchSpace, bytes: number): number {
  return leastSum(
    genes.map(({ levels }) => ({ candidates: levels })),
    bytes,
  ).natsPerByte;
}

function measureOn(ledger: PlanLedger, { live, space }: GradualInput, text: TokenizedText): MeasureStates {
  return async function* (states) {
    const variants = states.map((state) => variantWith(live, space, state));
    yield* ledger.measureVariants(variants, text, 'steps of the descent');
    return variants.map(({ id }) => ledger.lossOf(text, id));
  };
}

/** The state's changes; those that are not rounded plainly stand in the id. */
function variantWith({ model }: PlanMeasurement, { choices }: SearchSpace, state: State): Variant {
  const { id, changes } = variantOf(model, choices, state.assignment);
  const others: string[] = [];
  const rounded = changes.map((each): TensorChange => {
    const rounding = state.roundings.get(each.tensor) ?? plainRounding;
    if (rounding === plainRounding || each.change.kind !== 'scheme') return each;
    const change = rounding.change(each.tensor, each.change.scheme);
    if (change === null) return each;
    others.push(`${each.tensor} ${rounding.name}`);
    return { tensor: each.tensor, change };
  });
  return { id: [id, ...others.sort()].join(' '), changes: rounded };
}
