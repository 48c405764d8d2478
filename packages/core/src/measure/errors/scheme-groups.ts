/**
 * @file Schemes in the order in which they are measured. The low i-quants search tables that take the engine many seconds
 * to build once a process, so they wait until prices of the others are known: by a bound on what they could save, most
 * budgets rule them out unmeasured.
 */
import type { SchemeId } from '../../plan/schemes.js';

export interface SchemeGroup {
  readonly name: string;
  /** Members; null for all that no other group names. */
  readonly schemes: readonly SchemeId[] | null;
  /**
   * A scheme of an earlier group with more bits and a better codebook of the same kind: it never loses more than a member,
   * so its price bounds theirs from below.
   */
  readonly bound: SchemeId | null;
}

export const schemeGroups: readonly SchemeGroup[] = [
  { name: 'all', schemes: null, bound: null },
  { name: 'two-bit i-quants', schemes: ['IQ2_XXS', 'IQ2_XS', 'IQ2_S'], bound: 'IQ3_XXS' },
  { name: 'one-bit i-quants', schemes: ['IQ1_S', 'IQ1_M'], bound: 'IQ3_XXS' },
];

const named = new Set<string>(schemeGroups.flatMap(({ schemes }) => schemes ?? []));

/** Those of `schemes` that belong to the group. */
export function membersOf(group: SchemeGroup, schemes: readonly SchemeId[]): SchemeId[] {
  const members = new Set<string>(group.schemes ?? []);
  return schemes.filter((scheme) => (group.schemes === null ? !named.has(scheme) : members.has(scheme)));
}
