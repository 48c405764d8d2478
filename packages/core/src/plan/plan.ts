/**
 * @file Assembles a plan: solves for the budget, or takes the schemes of a plan file, and says of every tensor what decided
 * it. A plan is a pure function of its input, hash included.
 */
import { createHash } from 'node:crypto';
import { fileBytes } from './bytes.js';
import { type CouplingGroup, expandPicked, mergeCoupled } from './coupling.js';
import { plannedTensor, stepsFrom, steppedTogether } from './reasons.js';
import { solve } from './solve.js';
import type { Choice, Plan, PlannedTensor } from './types.js';

export interface PlanInput {
  readonly source: { readonly name: string; readonly sha256: string };
  readonly choices: readonly Choice[];
  /** Tensors that must share a scheme. */
  readonly groups?: readonly CouplingGroup[];
  /** What was asked for, and the bytes the whole file may have. */
  readonly budget: Plan['budget'];
  /** Bytes of the header to be written; they do not depend on the plan. */
  readonly headerBytes: number;
  /** Partial plans the exact search may make; see `solve`. */
  readonly workLimit?: number;
}

/**
 * The plan of least predicted loss within the budget.
 * @throws BitsmithError `BUDGET_IMPOSSIBLE` when even the smallest candidates do not fit.
 */
export function makePlan(input: PlanInput): Plan {
  const { source, choices, groups = [], budget, headerBytes, workLimit } = input;
  const merged = mergeCoupled(choices, groups);
  const solution = solve(merged, budget.bytes - headerBytes, { workLimit });
  const picked = expandPicked(choices, merged, solution.picked);
  const tensors = choices.map((choice, index) => plannedTensor(choice, choice.candidates[picked[index]]));
  for (const [index, { candidates, members }] of merged.entries()) {
    if (members.length === 1) continue;
    // Members step together, along what their group can do.
    const steps = stepsFrom(candidates, candidates[solution.picked[index]]);
    for (const member of members) tensors[member] = steppedTogether(choices[member], tensors[member], steps);
  }
  return assemblePlan({ source, budget, headerBytes, tensors, klLowerBound: solution.lowerBound });
}

/** Puts hash and totals to a list of decided tensors. */
export function assemblePlan(parts: {
  readonly source: PlanInput['source'];
  readonly budget: PlanInput['budget'];
  readonly headerBytes: number;
  readonly tensors: readonly PlannedTensor[];
  readonly klLowerBound: number | null;
}): Plan {
  const { source, budget, headerBytes, tensors, klLowerBound } = parts;
  const bytes = fileBytes(
    headerBytes,
    tensors.map((tensor) => tensor.bytes),
  );
  const klNats = tensors.reduce<number | null>(
    (sum, tensor) => (sum === null || tensor.klNats === null ? null : sum + tensor.klNats),
    0,
  );
  return {
    version: 1,
    hash: planHash(source.sha256, tensors),
    source: { name: source.name, sha256: source.sha256 },
    budget: budgetLine(budget),
    tensors,
    predicted: { bytes, klNats, evidence: 'estimated', klLowerBound, gap: gapOf(klNats, klLowerBound) },
    presetFloor: null,
  };
}

/** Without what only the solver needs. */
function budgetLine({ request, bytes, memory }: Plan['budget']): Plan['budget'] {
  return memory === undefined ? { request, bytes } : { request, bytes, memory };
}

/** What may still be gained, as a share of the loss; rounding of the sums is no gain. */
function gapOf(klNats: number | null, klLowerBound: number | null): number | null {
  if (klNats === null || klLowerBound === null) return null;
  const gap = klNats > 0 ? (klNats - klLowerBound) / klNats : 0;
  return gap > 1e-12 ? gap : 0;
}

/** SHA-256 of the source's hash and every tensor's scheme, as JSON with the tensors in order of their names. */
export function planHash(
  sourceSha256: string,
  tensors: readonly { readonly tensor: string; readonly scheme: string }[],
): string {
  const schemes = tensors
    .map(({ tensor, scheme }): [string, string] => [tensor, scheme])
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return createHash('sha256')
    .update(JSON.stringify({ source: sourceSha256, tensors: schemes }))
    .digest('hex');
}
