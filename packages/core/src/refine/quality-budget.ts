/**
 * @file The smallest plan that stays within limits of loss. Prices say how plans follow each other; how far their sums are from the
 * truth is measured: plans around the limit run in the live model, ln(KL / S) is interpolated between them, and the plan that
 * should just meet the limit is measured in turn (regula falsi on the logarithm of the KL), until one meets it closely. All of
 * it on the search text: the file is confirmed on other text, later.
 */
import { BitsmithError } from '@bitsmith/formats';
import type { Gathered } from '../run/gather.js';
import { roomForEncoded } from '../encode/room-for-encoded.js';
import { gatherVariants, type LiveMeasurement } from '../measure/live/variants.js';
import type { TrueLoss } from '../measure/live/variants-task.js';
import { bytesRange } from '../plan/bytes.js';
import { type CouplingGroup, expandPicked, mergeCoupled, type MergedChoice } from '../plan/coupling.js';
import { leastBytes, SIZE_STEP } from '../plan/least-bytes.js';
import { type LossLimit, natsOf, type QualityFit } from '../plan/quality.js';
import { solve } from '../plan/solve.js';
import type { Choice } from '../plan/types.js';
import { formatBytes, formatNats } from '../plan/units.js';
import type { RunEvent, Work } from '../run/events.js';
import { stage } from '../run/work.js';
import { type Assignment, bytesOf, priceSumOf, variantOf } from './assignment.js';

/** Measures the true losses of plans, in order. */
export type LossMeter = (
  assignments: readonly Assignment[],
) => AsyncGenerator<RunEvent, Gathered<PlanLoss>, void>;

export type PlanLoss = Pick<TrueLoss, 'klNats' | 'standardError' | 'nllIncreaseNats'>;

export interface QualitySearch {
  readonly choices: readonly Choice[];
  readonly groups: readonly CouplingGroup[];
  readonly headerBytes: number;
  /** Bytes that the whole file may have at most, by other budgets or by the model itself. */
  readonly limitBytes: number;
  /** In words, for messages; null where only the model itself limits it. */
  readonly sizeRequest: string | null;
  readonly limits: readonly LossLimit[];
  /** Share of the limits to plan for: below 1 where a file missed them on other text, above 1 where it stayed far below. */
  readonly allowance: number;
}

/** A plan is close enough when this much of the limit is used: below 1 % of a file's size remains. */
const CLOSE = 0.97;
/** Where in the limit the search aims, so that the noise of single plans does not miss it every second time. */
const AIM = 0.988;
/** A plan nearly meets the limit up to this much of it; the aim then steps back. */
const NEARLY = 1.1;
const STEP_BACK = 0.98;
const MOST_STEPS = 8;
const MOST_ROUNDS = 9;
/** Sums of prices to begin with, by the limit: true losses are mostly 1 to 1.3 times the sum. */
const FIRST_SUMS = [0.75, 1];
/** Text may be kinder to a quantized model than its KL says, but not without end. */
const LEAST_NLL_SHARE = 0.2;

interface Point {
  readonly assignment: Assignment;
  readonly bytes: number;
  readonly priceSum: number;
  readonly loss: PlanLoss;
}

/** Plans in the live model. */
export function liveMeter(live: LiveMeasurement, choices: readonly Choice[]): LossMeter {
  const caching = { ...live, encodedCacheBytes: roomForEncoded() };
  return async function* (assignments) {
    const variants = assignments.map((assignment) => variantOf(live.model, choices, assignment));
    return yield* gatherVariants(caching, variants, 'plans in the live model');
  };
}

/**
 * @param tokens of text that each plan runs over
 * @throws BitsmithError `QUALITY_IMPOSSIBLE` where the largest plan allowed loses more, with what it loses
 */
export async function* bytesForQuality(
  search: QualitySearch,
  measure: LossMeter,
  tokens: number,
): Work<QualityFit> {
  const { limits } = search;
  const label = `the smallest file with ${limits.map(({ text }) => text).join(' and ')}`;
  return yield* stage('refine', label, async function* () {
    const trail = new Trail(search);
    let next = trail.first();
    let cached = true;
    // What even the largest plan misses is impossible; nothing else is.
    for (let round = 0; next.length > 0 && (round < MOST_ROUNDS || trail.best() === null); round++) {
      const losses = yield* measure(next);
      trail.add(next, losses.values);
      cached &&= losses.cached;
      next = trail.next();
    }
    const best = trail.best();
    if (best === null) throw impossible(search, trail);
    const fit: QualityFit = {
      bytes: search.headerBytes + best.bytes,
      klNats: { value: best.loss.klNats, standardError: best.loss.standardError },
      nllIncreaseNats: best.loss.nllIncreaseNats,
      allowance: search.allowance,
      allowedNats: trail.target(),
      evaluations: trail.points.length,
      tokens,
      evidence: 'measured',
    };
    const summary = `${formatNats(fit.klNats.value)} nats at ${formatBytes(fit.bytes)}, by ${fit.evaluations} plans`;
    return { result: fit, summary, cached };
  });
}

/** The plans measured so far, by size, and what follows from them. */
class Trail {
  readonly points: Point[] = [];
  private readonly search: QualitySearch;
  private readonly merged: readonly MergedChoice[];
  private readonly smallest: number;
  private readonly largest: number;

  constructor(search: QualitySearch) {
    this.search = search;
    this.merged = mergeCoupled(search.choices, search.groups);
    const [smallest, largest] = bytesRange(this.merged);
    this.smallest = smallest;
    this.largest = Math.min(largest, search.limitBytes - search.headerBytes);
  }

  first(): Assignment[] {
    const target = this.target();
    return this.distinct(FIRST_SUMS.map((share) => this.leastWithin(share * target)));
  }

  /** What to measure next; nothing when the best plan is close to the limit, or no plan lies between. */
  next(): Assignment[] {
    const target = this.target();
    const best = this.best();
    const bytes = (point: Point): number => point.bytes;
    if (best !== null && (best.loss.klNats >= CLOSE * target || best.bytes === this.smallest)) return [];
    const missing = this.points.filter(({ loss }) => loss.klNats > target);
    if (best === null && missing.some((point) => point.bytes >= this.largest * (1 - SIZE_STEP))) return [];
    const high = best === null ? this.largest : best.bytes;
    const fresh = this.aimed(target, best === null ? Infinity : high);
    if (fresh.length > 0) return fresh;
    // The interpolation names plans that are known: half way to the other side of the limit remains.
    const low = Math.max(this.smallest, ...missing.map(bytes));
    if (high - low < SIZE_STEP * high) return best === null ? this.distinct([this.planAt(this.largest)]) : [];
    return this.distinct([this.planAt((low + high) / 2)]);
  }

  /**
   * The plan below a size that should just meet the limit. Each one that nearly met it puts the aim lower, by more each time: plans
   * differ by noise of their own, which prices do not tell, and where it is large, many in a row lie just above the limit.
   */
  private aimed(target: number, belowBytes: number): Assignment[] {
    const nearly = this.points.filter(
      ({ loss }) => loss.klNats > target && loss.klNats <= NEARLY * target,
    ).length;
    for (let step = nearly; step < nearly + MOST_STEPS; step++) {
      const plan = this.leastWithin(this.sumFor(AIM * STEP_BACK ** ((step * (step + 1)) / 2) * target));
      if (bytesOf(this.search.choices, plan) >= belowBytes) return [];
      const fresh = this.distinct([plan]);
      if (fresh.length > 0) return fresh;
    }
    return [];
  }

  /** The smallest plan that meets the limits. */
  best(): Point | null {
    const target = this.target();
    const meeting = this.points.filter(({ loss }) => loss.klNats <= target);
    return meeting.toSorted((a, b) => a.bytes - b.bytes).at(0) ?? null;
  }

  add(assignments: readonly Assignment[], losses: readonly PlanLoss[]): void {
    const { choices } = this.search;
    assignments.forEach((assignment, index) =>
      this.points.push({
        assignment,
        bytes: bytesOf(choices, assignment),
        priceSum: priceSumOf(choices, assignment),
        loss: losses[index],
      }),
    );
  }

  /**
   * The KL that all limits allow. A limit of perplexity is one of KL by what the text makes of it: the ratio of both losses over
   * all plans measured, for that of one plan alone is noise.
   */
  target(): number {
    const { limits, allowance } = this.search;
    const kl = this.points.reduce((sum, { loss }) => sum + loss.klNats, 0);
    const nll = this.points.reduce((sum, { loss }) => sum + loss.nllIncreaseNats, 0);
    const share = kl > 0 ? Math.max(LEAST_NLL_SHARE, nll / kl) : 1;
    return (
      allowance *
      Math.min(...limits.map((limit) => (limit.kind === 'kl' ? natsOf(limit) : natsOf(limit) / share)))
    );
  }

  /** The sum of prices that should come to this KL. */
  private sumFor(klNats: number): number {
    const known = this.points
      .filter(({ priceSum, loss }) => priceSum > 0 && loss.klNats > 0)
      .map(({ priceSum, loss }) => ({ kl: Math.log(loss.klNats), off: Math.log(loss.klNats / priceSum) }))
      .toSorted((a, b) => a.kl - b.kl);
    if (known.length === 0) return klNats;
    const at = Math.log(klNats);
    const above = known.findIndex(({ kl }) => kl >= at);
    if (above === -1 || above === 0) return klNats / Math.exp((known.at(above) as { off: number }).off);
    const [low, high] = [known[above - 1], known[above]];
    const share = high.kl > low.kl ? (at - low.kl) / (high.kl - low.kl) : 0;
    return klNats / Math.exp(low.off + share * (high.off - low.off));
  }

  /** The smallest plan whose prices sum to no more, or the largest allowed. */
  private leastWithin(priceSum: number): Assignment {
    return this.planAt(leastBytes(this.merged, priceSum, this.largest));
  }

  private planAt(dataBytes: number): Assignment {
    const { picked } = solve(this.merged, dataBytes);
    return expandPicked(this.search.choices, this.merged, picked);
  }

  /** Those that were not measured, each once. */
  private distinct(assignments: readonly Assignment[]): Assignment[] {
    const known = new Set(this.points.map(({ assignment }) => assignment.join()));
    return assignments.filter((assignment) => {
      const key = assignment.join();
      if (known.has(key)) return false;
      known.add(key);
      return true;
    });
  }
}

function impossible(
  { limits, limitBytes, sizeRequest, headerBytes }: QualitySearch,
  trail: Trail,
): BitsmithError {
  const wanted = limits.map(({ text }) => text).join(' and ');
  const nearest = trail.points.toSorted((a, b) => a.loss.klNats - b.loss.klNats)[0];
  const reached = `${formatNats(nearest.loss.klNats)} nats per token (perplexity ${(100 * Math.expm1(nearest.loss.nllIncreaseNats)).toFixed(3)} %)`;
  const within =
    sizeRequest === null ? 'the locks and schemes allowed' : `${sizeRequest} (${formatBytes(limitBytes)})`;
  return new BitsmithError(
    'budget-impossible',
    'QUALITY_IMPOSSIBLE',
    `${wanted} and ${within} cannot both be had: the nearest is ${reached} at ${formatBytes(headerBytes + nearest.bytes)}, measured on the search text`,
    {
      expected: `a loss of at most ${formatNats(trail.target())} nats per token`,
      found: reached,
      suggestion:
        sizeRequest === null
          ? 'Allow a larger loss, or loosen the locks.'
          : 'Allow a larger loss, or a larger file.',
    },
  );
}
