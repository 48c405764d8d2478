/**
 * @file Tensors that must share a scheme. Some containers' runtimes fuse query, key and value, or gate and up, into one
 * matrix and know one scheme for it; GGUF does not. A group is one choice of the knapsack: its candidates are the schemes
 * that all members may have, with bytes and nats summed, and what is picked holds for each of them.
 */
import type { ModelTensor } from '../model/types.js';
import { planError } from './plan-error.js';
import type { TensorOptions } from './options.js';
import type { KnapsackChoice } from './solve.js';
import type { Candidate, Choice, Limit } from './types.js';

/** What a runtime fuses. */
export type CouplingKind = 'qkv' | 'gate-up';

/** Two tensors or more that share a scheme. */
export interface CouplingGroup {
  readonly kind: CouplingKind;
  readonly tensors: readonly string[];
}

const kinds: Readonly<Record<CouplingKind, { readonly roles: RegExp; readonly part: RegExp }>> = {
  qkv: { roles: /^attention-[qkv]$/, part: /(?<=attn_)[qkv](?![a-z])/ },
  'gate-up': { roles: /^(mlp|expert)-(gate|up)$/, part: /(?<=ffn_)(gate|up)(?!_up)/ },
};

/**
 * Reads what is to be coupled: kinds, `fused` for all of them, `none` for nothing.
 * @throws BitsmithError `COUPLING_UNKNOWN`
 */
export function parseCouplings(words: readonly string[]): readonly CouplingKind[] {
  const all = Object.keys(kinds) as CouplingKind[];
  const named = new Set<string>();
  for (const word of words.map((each) => each.trim().toLowerCase())) {
    if (word === 'fused') for (const kind of all) named.add(kind);
    else if (word in kinds) named.add(word);
    else if (word !== 'none') throw unknownCoupling(word, all);
  }
  return all.filter((kind) => named.has(kind));
}

function unknownCoupling(found: string, all: readonly string[]): Error {
  const expected = `${all.join(', ')}, fused or none`;
  return planError('COUPLING_UNKNOWN', `expected ${expected} to couple, found '${found}'`, {
    expected,
    found,
    suggestion: 'fused couples all that runtimes fuse; GGUF files need none.',
  });
}

/** The groups of a model, in the order of their first members: by role, block, and what else the names share. */
export function couplingGroups(
  tensors: readonly ModelTensor[],
  coupled: readonly CouplingKind[],
): readonly CouplingGroup[] {
  const groups = new Map<string, { kind: CouplingKind; tensors: string[] }>();
  for (const { name, role, shape } of tensors) {
    const kind = coupled.find((each) => kinds[each].roles.test(role) && kinds[each].part.test(name));
    if (kind === undefined || shape.length < 2 || !name.endsWith('.weight')) continue;
    // Rows of other lengths are products with another input: no runtime fuses them.
    const key = `${kind} ${shape[0]} ${name.replace(kinds[kind].part, '*')}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { kind, tensors: [name] });
    else group.tensors.push(name);
  }
  return [...groups.values()].filter((group) => group.tensors.length > 1);
}

/**
 * Leaves each member the options that its whole group has. A lock on one member holds for all of them.
 * @throws BitsmithError `COUPLED_LOCKS_CONFLICT` where locks inside a group contradict each other, `COUPLING_IMPOSSIBLE` where
 * the members have no scheme in common
 */
export function coupleOptions(
  options: readonly TensorOptions[],
  groups: readonly CouplingGroup[],
): readonly TensorOptions[] {
  const byName = new Map(options.map((each) => [each.tensor.name, each]));
  for (const group of groups) {
    const members = group.tensors.flatMap((name) => byName.get(name) ?? []);
    refuseContradictions(members);
    const shared = sharedSchemes(members.map((member) => member.options));
    if (shared.size === 0) throw impossible(members);
    for (const member of members) byName.set(member.tensor.name, coupledOptions(member, members, shared));
  }
  return options.map(({ tensor }) => byName.get(tensor.name) as TensorOptions);
}

function coupledOptions(
  member: TensorOptions,
  members: readonly TensorOptions[],
  shared: ReadonlySet<string>,
): TensorOptions {
  if (member.constraint !== null) return member;
  const others = members.filter((other) => other !== member);
  const locked = others.find(({ constraint }) => constraint?.kind === 'lock');
  const names = others.map(({ tensor }) => tensor.name).join(', ');
  const fixed = locked === undefined ? '' : `, locked by '${locked.constraint?.note}'`;
  const limit: Limit = { kind: 'coupling', note: `one scheme with ${names}${fixed}` };
  return {
    ...member,
    options: member.options.filter(({ scheme }) => shared.has(scheme)),
    limits: [...(member.limits ?? []), limit],
  };
}

function refuseContradictions(members: readonly TensorOptions[]): void {
  const [first, ...others] = members.filter(({ constraint }) => constraint?.kind === 'lock');
  const other = others.find(({ options }) => options[0].scheme !== first.options[0].scheme);
  if (other === undefined) return;
  const what = (member: TensorOptions): string =>
    `'${member.constraint?.note}' (${member.tensor.name} in ${member.options[0].scheme})`;
  throw planError(
    'COUPLED_LOCKS_CONFLICT',
    `locks ${what(first)} and ${what(other)} contradict each other: these tensors must share a scheme`,
    {
      expected: `one scheme for ${members.map(({ tensor }) => tensor.name).join(', ')}`,
      found: `${first.options[0].scheme} and ${other.options[0].scheme}`,
      suggestion: 'Lock all of them to one scheme, or couple nothing: --couple none.',
    },
  );
}

function impossible(members: readonly TensorOptions[]): Error {
  const lists = members.map(
    ({ tensor, options }) => `${tensor.name}: ${options.map(({ scheme }) => scheme).join(', ')}`,
  );
  return planError(
    'COUPLING_IMPOSSIBLE',
    `${members.map(({ tensor }) => tensor.name).join(', ')} must share a scheme, but have none in common`,
    {
      expected: 'a scheme that all of them may have',
      found: lists.join('; '),
      suggestion: 'Change the lock or floor that keeps them apart, or couple nothing: --couple none.',
    },
  );
}

function sharedSchemes(lists: readonly (readonly { readonly scheme: string }[])[]): ReadonlySet<string> {
  const [first = [], ...others] = lists.map((list) => new Set(list.map(({ scheme }) => scheme)));
  return new Set([...first].filter((scheme) => others.every((other) => other.has(scheme))));
}

/** A choice of the knapsack that stands for one tensor or several. */
export interface MergedChoice extends KnapsackChoice {
  /** Scheme, bytes and nats of all members together. */
  readonly candidates: readonly Candidate[];
  /** Places of the members in the list that was merged. */
  readonly members: readonly number[];
}

/**
 * One choice a group and one for every other tensor, at the place of its first member.
 * @throws BitsmithError `COUPLING_IMPOSSIBLE` where the members have no priced scheme in common
 */
export function mergeCoupled(
  choices: readonly Choice[],
  groups: readonly CouplingGroup[],
): readonly MergedChoice[] {
  const places = new Map(choices.map(({ tensor }, place) => [tensor, place]));
  const groupAt = new Map<number, readonly number[]>();
  for (const { tensors } of groups) {
    const members = tensors.flatMap((name) => places.get(name) ?? []).toSorted((a, b) => a - b);
    for (const member of members) groupAt.set(member, members);
  }
  return choices.flatMap((choice, place): MergedChoice[] => {
    const members = groupAt.get(place) ?? [place];
    if (members[0] !== place) return [];
    if (members.length === 1) return [{ candidates: choice.candidates, direct: choice.direct, members }];
    return [{ candidates: summed(members.map((member) => choices[member])), members }];
  });
}

function summed(members: readonly Choice[]): readonly Candidate[] {
  const lists = members.map(
    ({ candidates }) => new Map(candidates.map((candidate) => [candidate.scheme, candidate])),
  );
  const shared = sharedSchemes(members.map(({ candidates }) => candidates));
  if (shared.size === 0) {
    const names = members.map(({ tensor }) => tensor).join(', ');
    throw planError('COUPLING_IMPOSSIBLE', `${names} must share a scheme, but no scheme is priced for all`);
  }
  return [...shared].map((scheme) => {
    const parts = lists.map((list) => list.get(scheme) as Candidate);
    return {
      scheme,
      bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
      klNats: parts.reduce((sum, { klNats }) => sum + klNats, 0),
    };
  });
}

/** What was picked of merged choices, as an index into every tensor's own candidates. */
export function expandPicked(
  choices: readonly Choice[],
  merged: readonly MergedChoice[],
  picked: readonly number[],
): readonly number[] {
  const expanded = Array.from({ length: choices.length }, () => -1);
  for (const [index, { candidates, members }] of merged.entries()) {
    const { scheme } = candidates[picked[index]];
    for (const member of members) {
      expanded[member] = choices[member].candidates.findIndex((candidate) => candidate.scheme === scheme);
    }
  }
  return expanded;
}
