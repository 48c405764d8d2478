/**
 * @file Tensors whose written weights are further from the source's than allowed get more bits, step by step: 2, 4, 8, 16, the last of
 * them as stored. Only those tensors change, and those that share a scheme with them; the budget and the limit stay what they are.
 */
import { BitsmithError } from '@bitsmith/formats';
import type { CouplingGroup } from './coupling.js';
import type { StorageOption, TensorOptions } from './options.js';
import { assemblePlan } from './plan.js';
import { explained } from './reasons.js';
import { findScheme } from './schemes.js';
import type { Choice, Plan, PlannedTensor } from './types.js';
import { formatBytes, formatCount } from './units.js';

/** A tensor beyond the limit, as the written file has it. */
export interface WrittenMiss {
  readonly tensor: string;
  readonly relativeError: number;
}

/** What became of one. */
export interface Lift extends WrittenMiss {
  /** The scheme that the error is of, and the one that took its place. */
  readonly from: string;
  readonly to: string;
  /** Bytes more. */
  readonly bytes: number;
}

export interface LiftInput {
  readonly plan: Plan;
  readonly storage: readonly TensorOptions[];
  readonly groups: readonly CouplingGroup[];
  /** Prices, where they are known. */
  readonly choices: readonly Choice[];
  /** Largest relative error that a tensor may have. */
  readonly limit: number;
  /** Bytes that the file may have; null where no budget was asked for. */
  readonly limitBytes: number | null;
}

export interface LiftedPlan {
  readonly plan: Plan;
  readonly lifts: readonly Lift[];
}

/** Bits of each step, and what is taken there where the tensor may have it; else the smallest that it may have. */
const steps = [
  { bits: 2, schemes: ['Q2_K'] },
  { bits: 4, schemes: ['Q4_K', 'IQ4_NL', 'Q4_0'] },
  { bits: 8, schemes: ['Q8_0'] },
  { bits: 16, schemes: [] },
] as const;

/**
 * The plan with every missing tensor one step higher.
 * @throws BitsmithError `TENSOR_ERROR_IMPOSSIBLE` naming a tensor, its error, the limit and the bytes that are missing
 */
export function liftPlan(input: LiftInput, misses: readonly WrittenMiss[]): LiftedPlan {
  const { plan, limitBytes } = input;
  const lines = new Map(plan.tensors.map((line) => [line.tensor, line]));
  const lifts = misses.flatMap((miss) => liftsOf(input, miss, lines));
  const distinct = [...new Map(lifts.map((lift) => [lift.tensor, lift])).values()];
  const bytes = distinct.reduce((sum, lift) => sum + lift.bytes, plan.predicted.bytes);
  if (limitBytes !== null && bytes > limitBytes) throw overBudget(input, distinct, bytes - limitBytes);
  return { plan: withLifts(input, distinct), lifts: distinct };
}

/** The tensor's own step, and that of all that it shares a scheme with. */
function liftsOf(
  input: LiftInput,
  { tensor, relativeError }: WrittenMiss,
  lines: ReadonlyMap<string, PlannedTensor>,
): Lift[] {
  const { storage, groups, limit } = input;
  const group = groups.find(({ tensors }) => tensors.includes(tensor))?.tensors ?? [tensor];
  const options = storage.find((each) => each.tensor.name === tensor);
  const line = lines.get(tensor);
  if (options === undefined || line === undefined) return [];
  const next = nextOption(options, line.scheme);
  if (next === null) throw noStep(line, options, relativeError, limit);
  return group.flatMap((name): Lift[] => {
    const member = storage.find((each) => each.tensor.name === name);
    const to = member?.options.find(({ scheme }) => scheme === next.scheme);
    const from = lines.get(name);
    if (to === undefined || from === undefined || to.scheme === from.scheme) return [];
    return [{ tensor: name, relativeError, from: from.scheme, to: to.scheme, bytes: to.bytes - from.bytes }];
  });
}

/** What the tensor may have at the next step; null where nothing is left to do for it. */
function nextOption({ tensor, options }: TensorOptions, scheme: string): StorageOption | null {
  const bits = codeBits(scheme);
  const step = steps.find((each) => each.bits > bits);
  const stored = options.find((option) => option.scheme === tensor.type && option.scheme !== scheme) ?? null;
  if (step === undefined) return stored;
  const higher = options.filter((option) => option.scheme !== scheme && codeBits(option.scheme) >= step.bits);
  const preferred = step.schemes.map((id) => higher.find((option) => option.scheme === id));
  const found = preferred.find((option) => option !== undefined);
  if (found !== undefined) return found;
  if (step.schemes.length === 0 && stored !== null) return stored;
  return higher.toSorted((a, b) => a.bytes - b.bytes)[0] ?? stored;
}

function codeBits(scheme: string): number {
  return findScheme(scheme)?.bits ?? 0;
}

function withLifts({ plan, choices, limit, limitBytes }: LiftInput, lifts: readonly Lift[]): Plan {
  const byTensor = new Map(lifts.map((lift) => [lift.tensor, lift]));
  const tensors = plan.tensors.map((line): PlannedTensor => {
    const lift = byTensor.get(line.tensor);
    return lift === undefined ? line : liftedLine(line, lift, priceIn(choices, lift), limit);
  });
  const dataBytes = plan.tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  const more = lifts.reduce((sum, { bytes }) => sum + bytes, 0);
  const assembled = assemblePlan({
    source: plan.source,
    // Without a budget, the size of a given plan stands for one.
    budget: limitBytes === null ? { ...plan.budget, bytes: plan.budget.bytes + more } : plan.budget,
    headerBytes: plan.predicted.bytes - dataBytes,
    tensors,
    klLowerBound: plan.predicted.klLowerBound,
  });
  const { quality, presetFloor } = plan;
  return quality === undefined ? { ...assembled, presetFloor } : { ...assembled, quality, presetFloor };
}

function liftedLine(
  line: PlannedTensor,
  { from, to, bytes, relativeError }: Lift,
  klNats: number | null,
  limit: number,
): PlannedTensor {
  const note = `lifted from ${from}: its written error was ${relativeError.toPrecision(3)} of at most ${limit}`;
  const { tensor } = line;
  const total = line.bytes + bytes;
  return explained({
    tensor,
    scheme: to,
    bytes: total,
    klNats,
    decidedBy: { kind: 'fallback', note },
    up: null,
    down: null,
  });
}

function priceIn(choices: readonly Choice[], { tensor, to }: Lift): number | null {
  const choice = choices.find((each) => each.tensor === tensor);
  return choice?.candidates.find(({ scheme }) => scheme === to)?.klNats ?? null;
}

function overBudget(
  { plan, limit, limitBytes }: LiftInput,
  lifts: readonly Lift[],
  missing: number,
): BitsmithError {
  const worst = lifts.toSorted((a, b) => b.relativeError - a.relativeError)[0];
  const others =
    lifts.length > 1 ? ` (with ${lifts.length - 1} more that it is to be lifted together with)` : '';
  const { tensor, from, to, relativeError } = worst;
  return new BitsmithError(
    'budget-impossible',
    'TENSOR_ERROR_IMPOSSIBLE',
    `expected a relative error of at most ${limit} in ${tensor}, found ${relativeError.toPrecision(4)} in ${from}; ${to}${others} takes ${formatCount(missing)} bytes more than ${plan.budget.request} leaves`,
    {
      expected: `${limit}`,
      found: relativeError.toPrecision(4),
      suggestion: `Allow ${formatBytes((limitBytes ?? 0) + missing)}, or a larger error.`,
    },
  );
}

function noStep(
  { tensor, scheme, decidedBy }: PlannedTensor,
  { constraint }: TensorOptions,
  relativeError: number,
  limit: number,
): BitsmithError {
  const why = constraint === null ? 'and nothing above it is allowed' : `which is ${decidedBy.note}`;
  return new BitsmithError(
    'budget-impossible',
    'TENSOR_ERROR_IMPOSSIBLE',
    `expected a relative error of at most ${limit} in ${tensor}, found ${relativeError.toPrecision(4)} in ${scheme}, ${why}`,
    {
      expected: `${limit}`,
      found: relativeError.toPrecision(4),
      suggestion:
        constraint?.kind === 'lock'
          ? 'Loosen its lock, or the limit.'
          : 'Allow more schemes, or a larger error.',
    },
  );
}
