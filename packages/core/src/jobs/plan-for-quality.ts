/**
 * @file Plans for limits of quality. What meets them on the search text is planned; what the written file then says of the report text
 * comes back as a correction, and the plan is made again: nothing but that one number of each file is learnt from the report text.
 */
import type { Budget } from '../plan/budget.js';
import { bytesRange } from '../plan/bytes.js';
import { type CouplingGroup, mergeCoupled } from '../plan/coupling.js';
import { leastBytes } from '../plan/least-bytes.js';
import type { TensorOptions } from '../plan/options.js';
import { type LossLimit, natsOf, type QualityFit, type QualityLimit } from '../plan/quality.js';
import type { Choice, Plan } from '../plan/types.js';
import { formatBytes, formatNats } from '../plan/units.js';
import { type ShortPair, withinCosine, without } from '../refine/cosine-limit.js';
import type { PricedModel } from '../refine/priced-model.js';
import { assignmentOf } from '../refine/assignment.js';
import type { LossBudget } from '../refine/gradual/loss-budget.js';
import { bytesForQuality, liveMeter, type LossMeter } from '../refine/quality-budget.js';
import type { RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import { stage } from '../run/work.js';
import { spreadChunks, tokensOf } from '../text/tokenize.js';

/** The standard error of a plan's KL is then about 1.5 %. */
const DEFAULT_QUALITY_TOKENS = 16_384;

export interface QualityRequest extends PricedModel {
  readonly run: RunContext;
  /** What sizes allow. */
  readonly budget: Budget;
  readonly limits: readonly QualityLimit[];
  /** The sizes that were asked for, in words; null where there are none. */
  readonly sizeRequest: string | null;
  /** Tokens of the search text that plans are measured on, at most; default 16,384. */
  readonly qualityTokens?: number;
}

/** What written files taught. */
export interface QualityCorrection {
  /** Share of the limits of loss to plan for. */
  readonly allowance: number;
  /** What moved weights too far: below the least cosine similarity, or above the largest error. */
  readonly short: readonly ShortPair[];
}

export const NO_CORRECTION: QualityCorrection = { allowance: 1, short: [] };

/** What plans are made of, and within which bytes. */
export interface PlanSpace {
  readonly budget: Budget;
  readonly choices: readonly Choice[];
  /** Has the options of the choices. */
  readonly storage: readonly TensorOptions[];
}

/** How a plan for limits of quality came about. */
export interface QualityPlan {
  readonly plan: Plan;
  /** Null where no loss is limited. */
  readonly fit: QualityFit | null;
}

/**
 * The smallest plan that meets all limits, within the budget; without limits the best within the budget.
 * @param solveWithin makes the plan of a budget; told of a limit of loss, it may be a smaller one that holds it
 * @throws BitsmithError `QUALITY_IMPOSSIBLE`
 */
export async function* planForQuality(
  request: QualityRequest,
  correction: QualityCorrection,
  solveWithin: (space: PlanSpace, limit: LossBudget | null) => Work<Plan>,
): Work<QualityPlan> {
  const { run, model, calibration, search, groups, headerBytes, budget, sizeRequest } = request;
  const { choices, storage } = yield* withoutTurned(request, correction.short);
  const limits = lossLimits(request.limits);
  if (limits.length === 0) {
    // A least cosine similarity alone asks for the smallest file; beside a size it only narrows what may fill it.
    const onlyCosine = request.limits.length > 0 && sizeRequest === null;
    const bytes = onlyCosine ? headerBytes + bytesRange(mergeCoupled(choices, groups))[0] : budget.bytes;
    const space = { budget: within(budget, bytes, headerBytes), choices, storage };
    return { plan: yield* solveWithin(space, null), fit: null };
  }
  const text = spreadChunks(search, request.qualityTokens ?? DEFAULT_QUALITY_TOKENS);
  const meter = liveMeter({ run, model, calibration, text }, choices);
  const fit = yield* bytesForQuality(
    {
      choices,
      groups,
      headerBytes,
      limitBytes: budget.bytes,
      sizeRequest,
      limits,
      allowance: correction.allowance,
    },
    meter,
    tokensOf(text),
  );
  const { allowedNats } = fit;
  const space = { budget: within(budget, fit.bytes, headerBytes), choices, storage };
  const plan = yield* solveWithin(space, { allowedNats, text });
  const quality = yield* fitOf(plan, fit, choices, meter);
  return { plan: { ...plan, quality }, fit: quality };
}

/** The fit of the plan that was made, where it is not the one that was measured. */
async function* fitOf(
  plan: Plan,
  fit: QualityFit,
  choices: readonly Choice[],
  meter: LossMeter,
): Work<QualityFit> {
  if (!plan.tensors.some(({ decidedBy: { kind } }) => kind === 'search' || kind === 'preset')) return fit;
  const assignment = assignmentOf(
    choices,
    new Map(plan.tensors.map(({ tensor, scheme }) => [tensor, scheme])),
  );
  if (assignment === null) return fit;
  return yield* stage('refine', 'the plan that was made', async function* () {
    const { values, cached } = yield* meter([assignment]);
    const [{ klNats, standardError, nllIncreaseNats }] = values;
    const result: QualityFit = {
      ...fit,
      bytes: plan.predicted.bytes,
      klNats: { value: klNats, standardError },
      nllIncreaseNats,
      evaluations: fit.evaluations + 1,
    };
    return { result, summary: `${formatNats(klNats)} nats at ${formatBytes(result.bytes)}`, cached };
  });
}

function within(budget: Budget, bytes: number, headerBytes: number): Budget {
  return bytes === budget.bytes
    ? budget
    : { ...budget, bytes, dataBytes: bytes - headerBytes, keepsEverything: false };
}

/** Choices and options without what turns weights further than the limit allows. */
async function* withoutTurned(
  { run, model, calibration, choices, storage, limits }: QualityRequest,
  short: readonly ShortPair[],
): Work<Pick<PlanSpace, 'choices' | 'storage'>> {
  const cosine = limits.find((limit) => limit.kind === 'cosine');
  if (cosine === undefined && short.length === 0) return { choices, storage };
  const least = cosine?.least;
  const within = least === undefined ? choices : yield* withinCosine(run, model, calibration, choices, least);
  const left = without(within, short, least);
  return { choices: left, storage: optionsOf(left, storage) };
}

/** The storage options that choices still have. */
export function optionsOf(
  left: readonly Choice[],
  storage: readonly TensorOptions[],
): readonly TensorOptions[] {
  const schemes = new Map(
    left.map(({ tensor, candidates }) => [tensor, new Set(candidates.map(({ scheme }) => scheme))]),
  );
  return storage.map((each) => ({
    ...each,
    options: each.options.filter(({ scheme }) => schemes.get(each.tensor.name)?.has(scheme)),
  }));
}

function lossLimits(limits: readonly QualityLimit[]): LossLimit[] {
  return limits.filter((limit): limit is LossLimit => limit.kind !== 'cosine');
}

/** Sums of prices around a limit of loss where plans that meet it may lie: true losses are mostly 1 to 1.4 times the sum. */
const LIKELY_SUMS = [0.65, 0.85, 1.1];

/** Bytes of data that plans for these limits may have: what slow schemes could save is judged there. */
export function likelySizes(
  limits: readonly QualityLimit[],
  choices: readonly Choice[],
  groups: readonly CouplingGroup[],
  mostBytes: number,
): readonly number[] {
  const losses = lossLimits(limits);
  if (losses.length === 0) return [mostBytes];
  const least = Math.min(...losses.map(natsOf));
  const merged = mergeCoupled(choices, groups);
  return LIKELY_SUMS.map((share) => leastBytes(merged, share * least, mostBytes));
}
