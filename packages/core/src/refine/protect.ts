/**
 * @file Super weights protected where it pays. Prices know what a tensor's errors cost on average, and nothing of single weights that carry
 * the model. So each tensor that holds such weights is lifted in the live model, alone, with the rest of the plan around it: where
 * that saves more than its bytes would buy elsewhere, it is protected, and the plan is solved again around it within the same bytes.
 * Both plans then run over other text, which nothing was chosen on, and the one that loses less goes on.
 */
import { planVariant } from '../measure/live/plan-variant.js';
import { roomForEncoded } from '../encode/room-for-encoded.js';
import { gatherVariants, type LiveMeasurement } from '../measure/live/variants.js';
import type { TrueLoss } from '../measure/live/variants-task.js';
import { findSuperWeights, type SuperWeights } from '../measure/super-weights/super-weights.js';
import { mergeCoupled } from '../plan/coupling.js';
import { bytesRange } from '../plan/bytes.js';
import { type HeldWeights, type Protectable, protectable, withProtected } from '../plan/protection.js';
import type { StorageType } from '../plan/schemes.js';
import { solve } from '../plan/solve.js';
import type { Choice, Plan } from '../plan/types.js';
import type { Evidence, Measured } from '../evaluate/types.js';
import { formatNats } from '../plan/units.js';
import type { RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import { stage } from '../run/work.js';
import { spreadChunks, type TokenizedText, tokensOf } from '../text/tokenize.js';
import { type PairedDifference, pairedDifference } from './paired.js';
import type { PricedModel } from './priced-model.js';

export interface ProtectInput extends PricedModel {
  /** Nothing below for protected tensors. */
  readonly bits: number;
  readonly coverage?: number;
  /** Tokens to choose on, and as many to judge by, at most; default 4,096. */
  readonly floorTokens?: number;
  /** Where spikes of activations are looked for. */
  readonly spikeText: TokenizedText;
  /** Makes the plan of these choices, within the budget. */
  readonly solveAgain: (choices: readonly Choice[]) => Plan;
}

/** A tensor that was lifted in the live model. */
export interface TriedProtection extends Protectable {
  /** What lifting it alone saved, in nats per token: negative where it lost. */
  readonly savedNats: Measured;
  /** What its bytes would save elsewhere. */
  readonly priceNats: number;
  readonly pays: boolean;
}

/** What protection came to. */
export interface Protection {
  readonly bits: number;
  readonly coverage: number;
  /** Found in the model: by spikes, and the most important by the importance matrix. */
  readonly superWeights: number;
  readonly importantWeights: number;
  readonly tried: readonly TriedProtection[];
  /** Loss of the plan without and with protection, of the same bytes; null where nothing paid. */
  readonly without: Measured | null;
  readonly with: Measured | null;
  /** With less without, sequence by sequence. */
  readonly difference: PairedDifference | null;
  /** Whether the plan has it. */
  readonly taken: boolean;
  /** Of the search text, for either: what was tried, and the plans with and without. */
  readonly tokens: number;
  readonly evidence: Evidence;
}

export interface ProtectedPlan {
  readonly plan: Plan;
  readonly choices: readonly Choice[];
  readonly protection: Protection;
}

/** As many as plans and presets are compared on. */
const DEFAULT_TOKENS = 4096;

/** @throws BitsmithError `COVERAGE_INVALID` */
export async function* protectPlan(run: RunContext, made: Plan, input: ProtectInput): Work<ProtectedPlan> {
  const { model, calibration, search, choices, bits } = input;
  const texts = halves(spreadChunks(search, 2 * (input.floorTokens ?? DEFAULT_TOKENS)));
  const live = { run, model, calibration, text: texts.trial, encodedCacheBytes: roomForEncoded() };
  const found = yield* findSuperWeights(live, input.spikeText, input.coverage);
  return yield* stage('refine', 'super weights protected', async function* () {
    const elements = new Map(model.tensors.map((tensor) => [tensor.name, tensor.elements]));
    const open = protectable(choices, made.tensors, bits, heldBy(found), elements);
    const tried = yield* tryAll(live, made, input, open);
    const chosen = affordable(input, made, tried);
    const outcome = yield* withChosen({ ...live, text: texts.verdict }, made, input, chosen);
    const protection = describe(input, found, tried, outcome, tokensOf(live.text));
    const result: ProtectedPlan = outcome.taken
      ? { plan: outcome.plan, choices: outcome.choices, protection }
      : { plan: made, choices, protection };
    return { result, summary: wordsOf(protection), cached: false };
  });
}

/** Every other chunk to choose on, and the others to judge by. */
function halves(text: TokenizedText): { readonly trial: TokenizedText; readonly verdict: TokenizedText } {
  const { chunks } = text;
  if (chunks.length < 2) return { trial: text, verdict: text };
  const part = (rest: number): TokenizedText => ({
    ...text,
    chunks: chunks.filter((_, i) => i % 2 === rest),
  });
  return { trial: part(0), verdict: part(1) };
}

function heldBy({ candidates, counts }: SuperWeights): Map<string, HeldWeights> {
  const held = new Map<string, HeldWeights>();
  for (const [tensor, important] of Object.entries(counts)) held.set(tensor, { spikes: 0, important });
  for (const { tensor, found } of candidates) {
    if (!found) continue;
    const { spikes, important } = held.get(tensor) ?? { spikes: 0, important: 0 };
    held.set(tensor, { spikes: spikes + 1, important });
  }
  return held;
}

/** Every tensor lifted alone. */
async function* tryAll(
  live: LiveMeasurement,
  made: Plan,
  input: ProtectInput,
  open: readonly Protectable[],
): Work<readonly TriedProtection[]> {
  if (open.length === 0) return [];
  const schemes = schemesOf(made);
  const variants = [
    planVariant(live.model, 'plan', schemes),
    ...open.map(({ tensor, protectedScheme }) =>
      planVariant(
        live.model,
        `${tensor} ${protectedScheme}`,
        new Map([...schemes, [tensor, protectedScheme as StorageType]]),
      ),
    ),
  ];
  const { values } = yield* gatherVariants(live, variants, 'tensors protected in the live model');
  const [base, ...lifted] = values;
  const natsPerByte = rateOf(made, input, base);
  return open.map((each, index) => judged(each, base, lifted[index], natsPerByte));
}

/** Standard errors of a saving: with so many tries some would pass one by chance. */
const SURE = 2;

/**
 * Whether a tensor's protection pays: it must save more than its bytes are worth, by more than its noise.
 * @param base, lifted losses of the plan, and with the tensor lifted
 */
export function judged(
  each: Protectable,
  base: Pick<TrueLoss, 'sequenceKlNats'>,
  lifted: Pick<TrueLoss, 'sequenceKlNats'>,
  natsPerByte: number,
): TriedProtection {
  const { nats, standardError } = pairedDifference(base.sequenceKlNats, lifted.sequenceKlNats);
  const priceNats = natsPerByte * each.bytes;
  // A single sequence has no error of its own.
  const error = Number.isFinite(standardError) ? standardError : 0;
  const pays = nats - SURE * error > priceNats;
  return { ...each, savedNats: { value: nats, standardError: error }, priceNats, pays };
}

/** What a byte buys in the plan, in true nats: the solver's rate times what its prices fall short of the truth. */
function rateOf(
  { budget, predicted }: Plan,
  { choices, groups, headerBytes }: ProtectInput,
  base: TrueLoss,
): number {
  const { natsPerByte } = solve(mergeCoupled(choices, groups), budget.bytes - headerBytes);
  const sum = predicted.klNats ?? 0;
  return natsPerByte * (sum > 0 ? base.klNats / sum : 1);
}

/** Those that pay, the best first, as long as the others can still be stored around them. */
function affordable(
  { choices, groups, headerBytes }: ProtectInput,
  { budget }: Plan,
  tried: readonly TriedProtection[],
): readonly Protectable[] {
  const net = ({ savedNats, priceNats }: TriedProtection): number => savedNats.value - priceNats;
  const paying = tried.filter(({ pays }) => pays).toSorted((a, b) => net(b) - net(a));
  const taken: Protectable[] = [];
  for (const each of paying) {
    if (taken.some(({ tensor }) => tensor === each.tensor)) continue;
    const narrowed = mergeCoupled(withProtected(choices, [...taken, each]), groups);
    if (headerBytes + bytesRange(narrowed)[0] <= budget.bytes) taken.push(each);
  }
  return taken;
}

interface Outcome {
  readonly plan: Plan;
  readonly choices: readonly Choice[];
  readonly without: TrueLoss | null;
  readonly with: TrueLoss | null;
  readonly difference: PairedDifference | null;
  readonly taken: boolean;
}

/** The plan around what is protected, beside the plan as it was. */
async function* withChosen(
  live: LiveMeasurement,
  made: Plan,
  input: ProtectInput,
  chosen: readonly Protectable[],
): Work<Outcome> {
  const { choices } = input;
  if (chosen.length === 0)
    return { plan: made, choices, without: null, with: null, difference: null, taken: false };
  const narrowed = withProtected(choices, chosen);
  const plan = input.solveAgain(narrowed);
  const variants = [
    planVariant(live.model, 'plan', schemesOf(made)),
    planVariant(live.model, 'protected', schemesOf(plan)),
  ];
  const { values } = yield* gatherVariants(live, variants, 'the protected plan in the live model');
  const [base, after] = values;
  const difference = pairedDifference(after.sequenceKlNats, base.sequenceKlNats);
  return { plan, choices: narrowed, without: base, with: after, difference, taken: difference.nats < 0 };
}

function schemesOf({ tensors }: Plan): Map<string, StorageType> {
  return new Map(tensors.map(({ tensor, scheme }) => [tensor, scheme as StorageType]));
}

function describe(
  { bits }: ProtectInput,
  found: SuperWeights,
  tried: readonly TriedProtection[],
  outcome: Outcome,
  tokens: number,
): Protection {
  const loss = (of: TrueLoss | null): Measured | null =>
    of === null ? null : { value: of.klNats, standardError: of.standardError };
  return {
    bits,
    coverage: found.coverage,
    superWeights: found.candidates.filter((candidate) => candidate.found).length,
    importantWeights: found.count,
    tried,
    without: loss(outcome.without),
    with: loss(outcome.with),
    difference: outcome.difference,
    taken: outcome.taken,
    tokens,
    evidence: 'measured',
  };
}

function wordsOf({ tried, without, with: after, taken }: Protection): string {
  const distinct = new Set(tried.map(({ tensor }) => tensor)).size;
  const pays = new Set(tried.filter((each) => each.pays).map(({ tensor }) => tensor)).size;
  if (without === null || after === null) return `${distinct} tensors tried, none is worth its bytes`;
  const losses = `${formatNats(after.value)} nats with ${pays} of ${distinct} tensors, ${formatNats(without.value)} without`;
  return taken ? losses : `${losses}: the plan stays as it was`;
}
