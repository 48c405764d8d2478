/**
 * @file The end of every search: what it found must lose less, by more than noise and on chunks that nothing was selected on, than
 * the best of the plans that were there before; else that one is taken.
 */
import type { Work } from '../run/events.js';
import { type TokenizedText, tokensOf } from '../text/tokenize.js';
import type { Assignment } from './assignment.js';
import { standardErrorOfMean } from '../measure/standard-error.js';
import { pairedDifference, surelyLess } from './paired.js';
import type { PlanLedger } from './plan-ledger.js';
import type { PlanLoss, SearchVerdict } from './search-record.js';

/** The name of the solver's plan among seeds. */
export const SOLVER = 'solver';

export interface NamedPlan {
  readonly name: string;
  readonly assignment: Assignment;
}

export interface Contest {
  /** The solver's plan first: a preset must lose less than it. */
  readonly seeds: readonly NamedPlan[];
  /** Null where the search found nothing that looked better. */
  readonly found: Assignment | null;
  /** Chunks that nothing was selected on; null where there are none. */
  readonly check: TokenizedText | null;
  /** What the selection was made on: decides where there is no check. */
  readonly levels: readonly TokenizedText[];
}

export interface Decided {
  readonly assignment: Assignment;
  readonly verdict: SearchVerdict;
}

export async function* decide(ledger: PlanLedger, contest: Contest): Work<Decided> {
  const { seeds, found, check, levels } = contest;
  const plans = [...seeds.map(({ assignment }) => assignment), ...(found === null ? [] : [found])];
  const texts = check === null ? levels : [check];
  // Alone in the field, a plan has won, and its loss is known from the selection.
  const alone = plans.length === 1;
  if (!alone)
    for (const text of texts) yield* ledger.measure(plans, text, 'the plan found, and those before it');
  ledger.refuseOverflow(plans[0]);
  const shown = alone ? levels.filter((text) => ledger.lossOn(text, plans[0]) !== null) : texts;
  return judge(ledger, contest, shown);
}

function judge(ledger: PlanLedger, contest: Contest, texts: readonly TokenizedText[]): Decided {
  // A plan under which the model overflows is out.
  const isMeasured = (plan: Assignment): boolean => texts.every((text) => ledger.lossOn(text, plan) !== null);
  const sequences = (plan: Assignment): number[] =>
    texts.flatMap((text) => ledger.lossOn(text, plan)?.sequenceKlNats ?? []);
  const seeds = contest.seeds
    .filter(({ assignment }) => isMeasured(assignment))
    .map((seed) => ({ ...seed, loss: lossOf(sequences(seed.assignment)) }));
  const best = seeds.reduce((least, seed) => (seed.loss.klNats < least.loss.klNats ? seed : least));
  const found = contest.found !== null && isMeasured(contest.found) ? contest.found : null;
  const difference = found === null ? null : pairedDifference(sequences(found), sequences(best.assignment));
  const wins = found !== null && difference !== null && surelyLess(difference);
  return {
    assignment: wins ? found : best.assignment,
    verdict: {
      taken: wins ? 'search' : best.name,
      tokens: texts.reduce((sum, text) => sum + tokensOf(text), 0),
      fresh: contest.check !== null && texts.includes(contest.check),
      seeds: seeds.map(({ name, loss }) => ({ name, ...loss })),
      found: found === null ? null : lossOf(sequences(found)),
      difference,
      limit: null,
    },
  };
}

/** What is taken, in words. */
export function takenWords({ taken, limit }: SearchVerdict): string {
  if (taken === 'search') return limit === null ? 'a plan that loses less' : 'a smaller plan';
  return taken === SOLVER ? "the solver's plan stays" : `preset ${taken} stays`;
}

export function lossOf(sequences: readonly number[]): PlanLoss {
  const klNats = sequences.reduce((sum, value) => sum + value, 0) / sequences.length;
  return { klNats, standardError: standardErrorOfMean(sequences) ?? 0 };
}
