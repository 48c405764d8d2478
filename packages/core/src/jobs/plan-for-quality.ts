/**
 * @file Plans for limits of quality. What meets them on the search text is planned; what the written file then says of the report text
 * comes back as a correction, and the plan is made again: nothing but that one number of each file is learnt from the report text.
 */
import type { Calibration } from '../calibrate/calibrate.js';
import type { SourceModel } from '../model/types.js';
import type { Budget } from '../plan/budget.js';
import { type CouplingGroup, mergeCoupled } from '../plan/coupling.js';
import { leastBytes } from '../plan/least-bytes.js';
import { type LossLimit, natsOf, type QualityLimit } from '../plan/quality.js';
import type { Choice, Plan } from '../plan/types.js';
import { bytesForQuality, type QualityFit } from '../refine/quality-budget.js';
import type { RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import { spreadChunks, type TokenizedText } from '../text/tokenize.js';

/** The standard error of a plan's KL is then about 1.5 %. */
const DEFAULT_QUALITY_TOKENS = 16_384;

export interface QualityRequest {
  readonly run: RunContext;
  readonly model: SourceModel;
  readonly calibration: Calibration;
  /** Whole: as much is taken as is needed, spread over it. */
  readonly search: TokenizedText;
  readonly choices: readonly Choice[];
  readonly groups: readonly CouplingGroup[];
  readonly headerBytes: number;
  /** What sizes allow. */
  readonly budget: Budget;
  readonly limits: readonly QualityLimit[];
  /** True where the budget is more than the model as it is. */
  readonly sizeRequest: string | null;
  /** Tokens of the search text that plans are measured on, at most; default 16,384. */
  readonly qualityTokens?: number;
}

/** How a budget within which plans are made came about. */
export interface QualityPlan {
  readonly plan: Plan;
  /** Null where no loss is limited. */
  readonly fit: QualityFit | null;
}

/**
 * The smallest plan that meets all limits, within the budget.
 * @param allowance share of the limits of loss to plan for; 1 at first
 * @param solveWithin makes the plan of a budget
 * @throws BitsmithError `QUALITY_IMPOSSIBLE`
 */
export async function* planForQuality(
  request: QualityRequest,
  allowance: number,
  solveWithin: (budget: Budget) => Work<Plan>,
): Work<QualityPlan> {
  const { run, model, calibration, search, choices, groups, headerBytes, budget } = request;
  const limits = request.limits.filter((limit): limit is LossLimit => limit.kind !== 'cosine');
  if (limits.length === 0) return { plan: yield* solveWithin(budget), fit: null };
  const text = spreadChunks(search, request.qualityTokens ?? DEFAULT_QUALITY_TOKENS);
  const fit = yield* bytesForQuality({
    live: { run, model, calibration, text },
    choices,
    groups,
    headerBytes,
    limitBytes: budget.bytes,
    sizeRequest: request.sizeRequest,
    limits,
    allowance,
  });
  const { bytes } = fit;
  const plan = yield* solveWithin({
    ...budget,
    bytes,
    dataBytes: bytes - headerBytes,
    keepsEverything: false,
  });
  return { plan, fit };
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
  const losses = limits.filter((limit): limit is LossLimit => limit.kind !== 'cosine');
  if (losses.length === 0) return [mostBytes];
  const least = Math.min(...losses.map(natsOf));
  const merged = mergeCoupled(choices, groups);
  return LIKELY_SUMS.map((share) => leastBytes(merged, share * least, mostBytes));
}
