/**
 * @file A plan while it is being refined: for every choice, the index of the candidate taken. Everything that measures plans on
 * the live model speaks of plans so, and everything here is a pure function.
 */
import { createHash } from 'node:crypto';
import type { Variant } from '../measure/live/change.js';
import { planVariant } from '../measure/live/plan-variant.js';
import type { SourceModel } from '../model/types.js';
import type { StorageType } from '../plan/schemes.js';
import type { Choice } from '../plan/types.js';

/** Index of the candidate taken, for every choice in order. */
export type Assignment = readonly number[];

/** Bytes of all tensors, padding included; the file's header is not among them. */
export function bytesOf(choices: readonly Choice[], assignment: Assignment): number {
  return choices.reduce((sum, { candidates }, index) => sum + candidates[assignment[index]].bytes, 0);
}

/** Predicted loss: the sum of the prices, in nats per token. */
export function priceSumOf(choices: readonly Choice[], assignment: Assignment): number {
  return choices.reduce((sum, { candidates }, index) => sum + candidates[assignment[index]].klNats, 0);
}

/** The scheme of every tensor. */
function schemesOf(choices: readonly Choice[], assignment: Assignment): Map<string, StorageType> {
  return new Map(
    choices.map(({ tensor, candidates }, index) => [
      tensor,
      candidates[assignment[index]].scheme as StorageType,
    ]),
  );
}

/**
 * The assignment that gives tensors these schemes; choices that are not named keep to their only candidate.
 * @returns null where a scheme is not among a tensor's candidates, or a free tensor is not named
 */
export function assignmentOf(
  choices: readonly Choice[],
  schemes: ReadonlyMap<string, string>,
): Assignment | null {
  const assignment = choices.map(({ tensor, candidates }) => {
    if (candidates.length === 1) return 0;
    return candidates.findIndex(({ scheme }) => scheme === schemes.get(tensor));
  });
  return assignment.includes(-1) ? null : assignment;
}

/** Equal for assignments that give every tensor the same scheme, whatever order the choices stand in. */
export function genomeOf(choices: readonly Choice[], assignment: Assignment): string {
  const schemes = [...schemesOf(choices, assignment)].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return createHash('sha256').update(JSON.stringify(schemes)).digest('hex');
}

/**
 * The assignment as changes to the live model: every tensor that is not stored as it was.
 * @param id default: the genome
 */
export function variantOf(
  model: Pick<SourceModel, 'tensors'>,
  choices: readonly Choice[],
  assignment: Assignment,
  id: string = genomeOf(choices, assignment),
): Variant {
  return planVariant(model, id, schemesOf(choices, assignment));
}
