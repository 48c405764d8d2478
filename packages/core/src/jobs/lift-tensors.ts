/** @file A file in which no tensor is further from its source than allowed: what misses the limit is lifted, alone, and looked at again. */
import { BitsmithError, type GgufLayout } from '@bitsmith/formats';
import { carryOver } from '../encode/carry-over.js';
import { encode } from '../encode/encode.js';
import type { LearnedCodes } from '../encode/learned/learned.js';
import type { UnfinishedOutput } from '../encode/unfinished-output.js';
import { verifyWeights, type WrittenTensors } from '../encode/verify.js';
import { type Lift, liftPlan, type WrittenMiss } from '../plan/lift.js';
import { formatCount } from '../plan/units.js';
import type { ShortPair } from '../refine/cosine-limit.js';
import type { RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import type { PlannedModel } from './plan.js';

/** A plan's file, begun in the work folder. */
export interface Draft {
  readonly planned: PlannedModel;
  readonly layout: GgufLayout;
  readonly unfinished: UnfinishedOutput;
  /** Codes that were learned for the plan; null where none were. */
  readonly learned: LearnedCodes | null;
}

/** The file, encoded and decoded again. */
export interface VerifiedDraft extends Draft {
  readonly written: WrittenTensors;
  /** What had to be lifted, in order; a tensor may come more than once. */
  readonly lifts: readonly Lift[];
}

/**
 * @param limit largest relative error of a tensor's written weights; null for none
 * @param begin opens the unfinished output of a plan
 * @throws BitsmithError `TENSOR_ERROR_IMPOSSIBLE`
 */
export async function* encodeWithin(
  run: RunContext,
  first: PlannedModel,
  limit: number | null,
  begin: (planned: PlannedModel) => Work<Draft>,
): Work<VerifiedDraft> {
  const lifts: Lift[] = [];
  let draft = yield* begin(first);
  for (;;) {
    const { model, calibration } = draft.planned;
    yield* encode(run, model, calibration, draft.layout, draft.unfinished, draft.learned);
    const written = yield* verifyWeights(run, model, draft.unfinished.path);
    const misses = limit === null ? [] : missesOf(written, limit);
    if (limit === null || misses.length === 0) return { ...draft, written, lifts };
    const lifted = yield* liftOrPlanAgain(draft.planned, misses, limit);
    lifts.push(...lifted.lifts);
    draft = await moved(run, draft, yield* begin(lifted.planned));
  }
}

function missesOf(written: WrittenTensors, limit: number): WrittenMiss[] {
  return [...written]
    .filter(([, { relativeError }]) => relativeError > limit)
    .map(([tensor, { relativeError }]) => ({ tensor, relativeError }));
}

interface Lifted {
  readonly planned: PlannedModel;
  readonly lifts: readonly Lift[];
}

/** Those tensors alone, one step up; where the budget leaves no room for that, a plan around schemes that hold. */
async function* liftOrPlanAgain(
  planned: PlannedModel,
  misses: readonly WrittenMiss[],
  limit: number,
): Work<Lifted> {
  try {
    const lifted = liftModel(planned, misses, limit);
    yield { type: 'note', level: 'info', message: liftMessage(lifted.lifts, limit) };
    return lifted;
  } catch (error) {
    if (planned.again === null || !isImpossible(error)) throw error;
    yield { type: 'note', level: 'info', message: `Planned again: ${error.message}.` };
    try {
      return { planned: yield* planned.again(pairsOf(planned, misses)), lifts: [] };
    } catch (second) {
      // What the tensor lacks says more than that no plan was found.
      throw isImpossible(second) ? error : second;
    }
  }
}

function isImpossible(error: unknown): error is BitsmithError {
  return error instanceof BitsmithError && error.kind === 'budget-impossible';
}

function pairsOf({ plan }: PlannedModel, misses: readonly WrittenMiss[]): ShortPair[] {
  const missed = new Set(misses.map(({ tensor }) => tensor));
  return plan.tensors
    .filter(({ tensor }) => missed.has(tensor))
    .map(({ tensor, scheme }) => ({ tensor, scheme }));
}

function liftModel(planned: PlannedModel, misses: readonly WrittenMiss[], limit: number): Lifted {
  const { storage, groups, choices, plan: before, again } = planned;
  // A plan that is given brings a size of its own, and no budget.
  const limitBytes = again === null ? null : before.budget.bytes;
  const { plan, lifts } = liftPlan({ plan: before, storage, groups, choices, limit, limitBytes }, misses);
  const schemes = plan.tensors.map(({ scheme }) => scheme as PlannedModel['schemes'][number]);
  return { planned: { ...planned, plan, schemes }, lifts };
}

/** Takes over what did not change, and drops the file it was in. */
async function moved(run: RunContext, from: Draft, to: Draft): Promise<Draft> {
  await carryOver(from, to, run.signal);
  // Not every system lets a mapped file be removed.
  await run.engine.rest();
  await from.unfinished.discard();
  return to;
}

/** Tensors that a message lists. */
const NAMED = 3;

function liftMessage(lifts: readonly Lift[], limit: number): string {
  const named = lifts
    .slice(0, NAMED)
    .map(
      ({ tensor, from, to, relativeError }) =>
        `${tensor} from ${from} to ${to} (error ${relativeError.toPrecision(3)})`,
    );
  const rest = lifts.length > NAMED ? [`${lifts.length - NAMED} more`] : [];
  const bytes = lifts.reduce((sum, lift) => sum + lift.bytes, 0);
  return `Written errors above ${limit}: lifted ${[...named, ...rest].join(', ')}, ${formatCount(bytes)} bytes in all.`;
}
