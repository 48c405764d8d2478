/**
 * @file A file that meets its limits of quality. A plan that does so on the search text is written and run over the report text,
 * where losses differ by a few percent; if the file misses a limit, the plan is made again for as much less, if it stays far
 * below, for as much more, and between files on both sides of the limit for what lies between. Each file yields one number, which is counted and told: beyond these nothing
 * is learnt from the report text, and no limit is ever relaxed.
 */
import { BitsmithError } from '@bitsmith/formats';
import type { Evaluation } from '../evaluate/types.js';
import { judge, type QualityAttempt, type QualityLimit, usedShare } from '../plan/quality.js';
import { formatBytes } from '../plan/units.js';
import type { Work } from '../run/events.js';
import type { PlannedModel } from './plan.js';

/** A written file that was checked, not published yet. */
export interface CheckedFile {
  readonly planned: PlannedModel;
  readonly evaluation: Evaluation | null;
  /** Cosine similarity of every tensor's written weights with the source's, by name. */
  readonly cosines: ReadonlyMap<string, number>;
  /** Drops the file. */
  readonly discard: () => Promise<void>;
}

export interface MetQuality<File extends CheckedFile> {
  readonly file: File;
  /** All files that were measured on the report text, in order; empty where no quality was asked for. */
  readonly attempts: readonly QualityAttempt[];
}

const MOST_ATTEMPTS = 6;
/** Below this share of the limit a smaller file is tried: losses on the report text are then far from those on the search text. */
const FAR_BELOW = 0.94;
/** Plans differ by their own noise; aiming exactly at the limit would miss it every second time. */
const MARGIN = 0.985;
/** Files whose sizes differ by less are one size. */
const NEAR = 0.01;

/**
 * @param build writes a plan's file and checks it
 * @throws BitsmithError `QUALITY_IMPOSSIBLE` where no file met the limits
 */
export async function* meetQuality<File extends CheckedFile>(
  first: PlannedModel,
  build: (planned: PlannedModel) => Work<File>,
): Work<MetQuality<File>> {
  const attempts: QualityAttempt[] = [];
  let planned = first;
  let kept: File | null = null;
  for (;;) {
    const file: File = yield* build(planned);
    if (planned.quality === null) return { file, attempts };
    const attempt = describe(file);
    attempts.push(attempt);
    if (attempt.verdicts.every(({ met }) => met)) {
      await kept?.discard();
      kept = file;
    } else {
      await file.discard();
    }
    if (kept !== null && isClose(kept, attempts)) return { file: kept, attempts };
    const next: PlannedModel | null =
      attempts.length < MOST_ATTEMPTS ? yield* possible(planAgain(file, attempts), kept !== null) : null;
    if (next === null || (kept !== null && isNoSmaller(next, kept))) {
      if (kept === null) throw missed(attempts);
      return { file: kept, attempts };
    }
    yield { type: 'note', level: 'info', message: changed(attempt, next) };
    planned = next;
  }
}

/** Where a file meets the limits already, a plan that cannot be made is no error. */
async function* possible(plan: Work<PlannedModel | null>, isMet: boolean): Work<PlannedModel | null> {
  try {
    return yield* plan;
  } catch (error) {
    if (isMet && error instanceof BitsmithError && error.code === 'QUALITY_IMPOSSIBLE') return null;
    throw error;
  }
}

/** Whether a file that meets its limits is as small as files can be told apart. */
function isClose(file: CheckedFile, attempts: readonly QualityAttempt[]): boolean {
  const { verdicts, bytes } = describe(file);
  const used = usedShare(verdicts);
  if (used === null || used >= FAR_BELOW) return true;
  return attempts.some((other) => isMissed(other) && other.bytes > bytes * (1 - NEAR) && other.bytes < bytes);
}

function isMissed({ verdicts }: QualityAttempt): boolean {
  return verdicts.some(({ met }) => !met);
}

function isNoSmaller(next: PlannedModel, { planned }: CheckedFile): boolean {
  return next.plan.predicted.bytes >= planned.plan.predicted.bytes;
}

function describe({ planned, evaluation, cosines }: CheckedFile): QualityAttempt {
  const { limits = [], fit = null } = planned.quality ?? {};
  return {
    planHash: planned.plan.hash,
    bytes: planned.plan.predicted.bytes,
    allowance: fit?.allowance ?? 1,
    verdicts: judge(limits, evaluation, Math.min(...cosines.values())),
  };
}

/** A plan for as much less (or more) as the files missed, without what turned weights too far; null where nothing new remains. */
async function* planAgain(
  { planned: { quality, plan }, cosines }: CheckedFile,
  attempts: readonly QualityAttempt[],
): Work<PlannedModel | null> {
  if (quality === null) return null;
  const turned = turnedTooFar(plan, quality.limits, cosines);
  const short = [...quality.correction.short, ...turned];
  let allowance = nextAllowance(attempts);
  // Where only weights turned too far, losses are as they should be.
  if (allowance === null || (turned.length > 0 && allowance > quality.correction.allowance)) {
    if (turned.length === 0) return null;
    allowance = quality.correction.allowance;
  }
  const tried = new Set(attempts.map(({ planHash }) => planHash));
  for (let step = 0; step < MOST_ATTEMPTS; step++) {
    const next = yield* quality.again({ allowance, short });
    if (!tried.has(next.plan.hash)) return next;
    allowance *= MARGIN;
  }
  return null;
}

/**
 * The share of the limits of loss to plan for, that the next file uses them just so: between files on both sides by interpolation of
 * logarithms, else in proportion to what the last one used. Null where no loss is limited, or none shows.
 */
function nextAllowance(attempts: readonly QualityAttempt[]): number | null {
  const all = attempts.flatMap(({ allowance, verdicts }) => {
    const used = usedShare(verdicts);
    return used !== null && used > 0 ? [{ allowance, used }] : [];
  });
  const last = all.at(-1);
  if (last === undefined) return null;
  const byAllowance = all.toSorted((a, b) => a.allowance - b.allowance);
  const over = byAllowance.find(({ used }) => used > 1);
  const under = byAllowance.findLast(
    ({ used, allowance }) => used <= 1 && allowance < (over?.allowance ?? 0),
  );
  if (over === undefined || under === undefined) return (last.allowance * MARGIN) / last.used;
  const share = Math.log(MARGIN / under.used) / Math.log(over.used / under.used);
  return under.allowance * (over.allowance / under.allowance) ** Math.min(0.9, Math.max(0.1, share));
}

function turnedTooFar(
  { tensors }: PlannedModel['plan'],
  limits: readonly QualityLimit[],
  cosines: ReadonlyMap<string, number>,
): { tensor: string; scheme: string }[] {
  const least = limits.find((limit) => limit.kind === 'cosine')?.least ?? 0;
  return tensors
    .filter(({ tensor }) => (cosines.get(tensor) ?? 1) < least)
    .map(({ tensor, scheme }) => ({ tensor, scheme }));
}

function changed({ verdicts, bytes }: QualityAttempt, next: PlannedModel): string {
  const found = verdicts
    .map(({ kind, measured, limit }) => `${kind} ${measured.value.toPrecision(4)} of ${limit}`)
    .join(', ');
  return `The file of ${formatBytes(bytes)} has ${found}: next, one of ${formatBytes(next.plan.predicted.bytes)}.`;
}

function missed(attempts: readonly QualityAttempt[]): BitsmithError {
  const nearest = attempts.toSorted((a, b) => overshoot(a) - overshoot(b))[0];
  const failed = nearest.verdicts.filter(({ met }) => !met);
  const wanted = failed.map(({ request }) => request).join(' and ');
  const found = failed.map(({ measured }) => measured.value.toPrecision(4)).join(' and ');
  return new BitsmithError(
    'budget-impossible',
    'QUALITY_IMPOSSIBLE',
    `expected ${wanted}, but ${attempts.length} files missed it; the nearest has ${found} at ${formatBytes(nearest.bytes)}`,
    {
      expected: wanted,
      found,
      suggestion: 'Allow a larger loss or a larger file, or measure on more text with --text FILE.',
    },
  );
}

/** By how much a file misses its worst limit, as a share. */
function overshoot({ verdicts }: QualityAttempt): number {
  return Math.max(
    ...verdicts.map(({ kind, measured, limit }) =>
      kind === 'cosine' ? limit / measured.value : measured.value / limit,
    ),
  );
}
