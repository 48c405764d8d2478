/**
 * @file Floors: `ROLE=SCHEME` or `ROLE=4bit` takes from all tensors of a role the schemes below it. A role may be named by its
 * beginning, so that `attention` means all of them. Locks win over floors, and what a source stores below a floor stays.
 */
import { tensorRoles } from '../model/roles.js';
import type { TensorRole } from '../model/types.js';
import { didYouMean, nearestNames } from './nearest-names.js';
import { planError } from './plan-error.js';
import { unknownScheme } from './named-scheme.js';
import type { StorageOption, TensorOptions } from './options.js';
import { findScheme } from './schemes.js';

/** One `ROLE=SCHEME`. */
export interface Floor {
  /** As the user wrote it. */
  readonly text: string;
  readonly roles: readonly TensorRole[];
  /** Nominal bits of a code, or stored bits of a weight, at least. */
  readonly least: { readonly bits: number } | { readonly bitsPerWeight: number };
}

/**
 * Reads `ROLE=SCHEME` or `ROLE=Nbit`, for example `attention-v=Q5_K` or `attention=4bit`.
 * @throws BitsmithError `FLOOR_MALFORMED`, `FLOOR_ROLE_UNKNOWN` or `SCHEME_UNKNOWN`
 */
export function parseFloor(text: string): Floor {
  const parts = /^([^=]+)=([^=]+)$/.exec(text);
  if (parts === null) throw malformed(text);
  const role = parts[1].trim().toLowerCase();
  const roles = tensorRoles.filter((each) => each === role || each.startsWith(`${role}-`));
  if (roles.length === 0) throw unknownRole(text, role);
  const value = parts[2].trim();
  const bits = /^(\d+(?:\.\d+)?)\s*-?bits?$/i.exec(value);
  if (bits !== null) return { text, roles, least: { bits: Number(bits[1]) } };
  const scheme = findScheme(value);
  if (scheme === undefined) throw unknownScheme(value, `floor '${text}'`);
  return { text, roles, least: { bitsPerWeight: scheme.bitsPerWeight } };
}

/**
 * Takes away the options below the floors; several floors of a role all hold.
 * @throws BitsmithError `FLOOR_MATCHES_NOTHING` for a role that no quantizable tensor of the model has
 */
export function applyFloors(
  options: readonly TensorOptions[],
  floors: readonly Floor[],
): readonly TensorOptions[] {
  for (const floor of floors) refuseUnmatched(floor, options);
  return options.map((each) => floors.reduce(withFloor, each));
}

function withFloor(each: TensorOptions, floor: Floor): TensorOptions {
  const { tensor, options, constraint, limits = [] } = each;
  if (constraint !== null || !floor.roles.includes(tensor.role)) return each;
  const kept = options.filter((option) => option.scheme === tensor.type || isAtLeast(option, floor));
  if (kept.length === options.length) return each;
  return { ...each, options: kept, limits: [...limits, { kind: 'floor', note: `floor ${floor.text}` }] };
}

function isAtLeast({ scheme }: StorageOption, { least }: Floor): boolean {
  const found = findScheme(scheme);
  if (found === undefined) return false;
  return 'bits' in least ? found.bits >= least.bits : found.bitsPerWeight >= least.bitsPerWeight;
}

function refuseUnmatched({ text, roles }: Floor, options: readonly TensorOptions[]): void {
  const quantized = options.filter(({ constraint }) => constraint?.kind !== 'kept');
  if (quantized.some(({ tensor }) => roles.includes(tensor.role))) return;
  const found = [...new Set(quantized.map(({ tensor }) => tensor.role))].join(', ');
  throw planError('FLOOR_MATCHES_NOTHING', `floor '${text}' matches no tensor that is quantized`, {
    expected: `a role of this model: ${found}`,
    found: roles.join(', '),
    suggestion: 'List roles and tensors with: bitsmith inspect MODEL',
  });
}

function unknownRole(text: string, role: string): Error {
  const meant = didYouMean(nearestNames(role, tensorRoles));
  return planError('FLOOR_ROLE_UNKNOWN', `floor '${text}': expected a role, found '${role}'`, {
    expected: `one of ${tensorRoles.join(', ')}, or the beginning of some, as attention`,
    found: role,
    suggestion: `${meant}List roles and tensors with: bitsmith inspect MODEL`,
  });
}

function malformed(text: string): Error {
  return planError('FLOOR_MALFORMED', `floor '${text}': expected ROLE=SCHEME or ROLE=Nbit`, {
    expected: 'ROLE=SCHEME or ROLE=Nbit',
    found: text,
    suggestion: "For example --floor 'attention-v=Q5_K', or --floor attention=4bit.",
  });
}
