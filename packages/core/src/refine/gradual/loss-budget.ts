/**
 * @file The end of a descent where loss is the budget. Steps are measured on little text, the limit holds on much: upgrades go on until
 * it holds there, and of the states that they passed through the smallest that holds it is taken, if it is smaller than the solver's
 * plan. That is the rule by which the solver's plans were judged, on the same text; the written file is measured on other text.
 */
import type { Work } from '../../run/events.js';
import { type TokenizedText, tokensOf } from '../../text/tokenize.js';
import { type Assignment, bytesOf } from '../assignment.js';
import { pairedDifference } from '../paired.js';
import type { PlanLedger } from '../plan-ledger.js';
import { type Decided, lossOf, SOLVER } from '../verdict.js';
import type { PathStep, State } from './descent.js';
import { type GlobalInput, globalPass } from './global-pass.js';

/** Loss as a budget. */
export interface LossBudget {
  /** In nats per token, on this text. */
  readonly allowedNats: number;
  /** What the solver's plan was measured on. */
  readonly text: TokenizedText;
}

/** Measures whole plans and keeps what they lose. */
export type Losses = Pick<PlanLedger, 'measure' | 'lossOn' | 'refuseOverflow' | 'tokens'>;

/** What a descent ends with, and the upgrades on the way there. */
export interface WithinLimit extends Decided {
  readonly path: readonly PathStep[];
}

/** Measurements on the whole text that are set aside for the end. */
const CHECKS = 8;
/** Text that steps run over may be kinder to a plan than the whole: so often the limit there is set anew. */
const MOST_ROUNDS = 4;

/** Tokens to set aside for the end: of few tokens a half. */
export function checksTokens({ text }: LossBudget, searchTokens: number): number {
  return Math.min(CHECKS * tokensOf(text), searchTokens / 2);
}

/** The limit on the text of the steps, which may be harder or easier than the whole: as much as it is for the solver's plan. */
export async function* limitOnSteps(
  ledger: Losses,
  { allowedNats, text }: LossBudget,
  plan: Assignment,
  stepNats: number,
): Work<number> {
  yield* ledger.measure([plan], text, "the solver's plan");
  ledger.refuseOverflow(plan);
  return (allowedNats * stepNats) / lossOn(ledger, text, plan);
}

interface Ending {
  readonly ledger: Losses;
  readonly global: Omit<GlobalInput, 'maxKlNats'>;
  readonly limit: LossBudget;
  /** The solver's plan, which holds the limit. */
  readonly plan: Assignment;
  /** Tokens of the whole search. */
  readonly searchTokens: number;
}

/**
 * The smallest plan that holds the limit: of those that upgrades lead through, or the solver's.
 * @param stepLimit the limit on the text of the steps
 */
export async function* smallestWithin(ending: Ending, from: State, stepLimit: number): Work<WithinLimit> {
  const { ledger, global, limit, plan } = ending;
  const { choices } = global.space;
  const path: PathStep[] = [];
  const states: State[] = [];
  let holding: State | null = null;
  let [state, maxKlNats] = [from, stepLimit];
  for (let round = 0; round < MOST_ROUNDS && holding === null; round++) {
    const passed = yield* globalPass({ ...global, maxKlNats }, state);
    path.push(...passed.path);
    states.push(...passed.upgraded);
    state = passed.state;
    const isSmaller = bytesOf(choices, state.assignment) < bytesOf(choices, plan);
    if (!isSmaller || passed.klNats > maxKlNats) break;
    const nats = yield* wholeLoss(ending, state);
    if (nats <= limit.allowedNats) holding = state;
    else maxKlNats = (passed.klNats * limit.allowedNats) / nats;
  }
  const found = holding && (yield* smallest(ending, states)).assignment;
  return { path, ...verdictOf(ledger, limit, plan, found, (each) => bytesOf(choices, each)) };
}

/** The first state that holds the limit, by bisection: losses fall along them, and the last one holds it. */
async function* smallest(ending: Ending, states: readonly State[]): Work<State> {
  const { ledger, limit, searchTokens } = ending;
  let low = 0;
  let high = states.length - 1;
  while (low < high && ledger.tokens + tokensOf(limit.text) <= searchTokens) {
    const middle = (low + high) >> 1;
    if ((yield* wholeLoss(ending, states[middle])) <= limit.allowedNats) high = middle;
    else low = middle + 1;
  }
  return states[high];
}

/** Infinite where the model overflows. */
async function* wholeLoss({ ledger, limit }: Ending, { assignment }: State): Work<number> {
  yield* ledger.measure([assignment], limit.text, 'plans within the limit');
  return ledger.lossOn(limit.text, assignment)?.klNats ?? Infinity;
}

function lossOn(ledger: Losses, text: TokenizedText, plan: Assignment): number {
  return ledger.lossOn(text, plan)?.klNats ?? Infinity;
}

function verdictOf(
  ledger: Losses,
  { allowedNats, text }: LossBudget,
  plan: Assignment,
  found: Assignment | null,
  bytes: (assignment: Assignment) => number,
): Decided {
  const sequences = (each: Assignment): readonly number[] => ledger.lossOn(text, each)?.sequenceKlNats ?? [];
  return {
    assignment: found ?? plan,
    verdict: {
      taken: found === null ? SOLVER : 'search',
      tokens: tokensOf(text),
      fresh: false,
      seeds: [{ name: SOLVER, ...lossOf(sequences(plan)) }],
      found: found && lossOf(sequences(found)),
      difference: found && pairedDifference(sequences(found), sequences(plan)),
      limit: { allowedNats, solverBytes: bytes(plan), foundBytes: found && bytes(found) },
    },
  };
}
