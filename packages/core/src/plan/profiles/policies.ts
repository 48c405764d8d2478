/**
 * @file Policies and targets: named wishes, as floors for roles and as the budget where none is given. A policy says how bits are
 * spread, a target where the model will run. What a user asks for wins over both.
 */
import { type Floor, parseFloor } from '../floors.js';
import { didYouMean, nearestNames } from '../nearest-names.js';
import { planError } from '../plan-error.js';
import type { TensorOptions } from '../options.js';

interface PolicyFacts {
  readonly about: string;
  /** `ROLE=Nbit`: nothing below for tensors of the role. */
  readonly floors: readonly string[];
  /** The budget where neither user nor target gives one. */
  readonly bitsPerWeight: number;
}

export const policies = {
  'attention-high': {
    about: 'attention at 4 bits or more; the feed-forward layers pay for it',
    floors: ['attention=4bit'],
    bitsPerWeight: 3,
  },
  balanced: {
    about: 'nothing below 3 bits',
    floors: ['attention=3bit', 'mlp=3bit', 'expert=3bit', 'embedding=3bit', 'output-head=3bit'],
    bitsPerWeight: 3.5,
  },
  'compression-max': {
    about: 'whatever the prices allow',
    floors: [],
    bitsPerWeight: 2.5,
  },
  'quality-max': {
    about: 'attention, embedding and head at 6 bits or more, feed-forward layers at 5',
    floors: ['attention=6bit', 'embedding=6bit', 'output-head=6bit', 'mlp=5bit', 'expert=5bit'],
    bitsPerWeight: 6.5,
  },
} as const satisfies Readonly<Record<string, PolicyFacts>>;

export type PolicyName = keyof typeof policies;

interface TargetFacts {
  readonly about: string;
  /** The budget where the user gives none. */
  readonly bitsPerWeight: number;
  /** Cosine similarity of every tensor's weights with the source's, at least, where the user does not say. */
  readonly minCosine: number;
}

/** About two, four and eight bits, with the scales that they need: those of Q2_K, Q4_K and Q8_0. */
export const targets = {
  edge: { about: 'small devices: about two bits', bitsPerWeight: 2.625, minCosine: 0.65 },
  local: { about: 'laptops and desktops: about four bits', bitsPerWeight: 4.5, minCosine: 0.85 },
  cloud: { about: 'servers: about eight bits', bitsPerWeight: 8.5, minCosine: 0.95 },
} as const satisfies Readonly<Record<string, TargetFacts>>;

export type TargetName = keyof typeof targets;

/** @throws BitsmithError `POLICY_UNKNOWN` */
export function parsePolicy(text: string): PolicyName {
  return named(text, Object.keys(policies) as PolicyName[], 'POLICY_UNKNOWN', 'a policy');
}

/** @throws BitsmithError `TARGET_UNKNOWN` */
export function parseTarget(text: string): TargetName {
  return named(text, Object.keys(targets) as TargetName[], 'TARGET_UNKNOWN', 'a target');
}

function named<Name extends string>(
  text: string,
  names: readonly Name[],
  code: string,
  expected: string,
): Name {
  const found = names.find((name) => name === text.trim().toLowerCase());
  if (found !== undefined) return found;
  throw planError(code, `expected ${expected}, found ${JSON.stringify(text)}`, {
    expected: `one of ${names.join(', ')}`,
    found: text,
    suggestion: `${didYouMean(nearestNames(text, names))}There are ${names.join(', ')}.`,
  });
}

/**
 * The floors of a policy for the model at hand: those of roles it has something to choose for, and that the user sets no floor
 * for.
 */
export function policyFloors(
  policy: PolicyName,
  storage: readonly TensorOptions[],
  ofUser: readonly Floor[],
): readonly Floor[] {
  const decided = new Set(ofUser.flatMap(({ roles }) => roles));
  const present = new Set(
    storage.filter(({ constraint }) => constraint?.kind !== 'kept').map(({ tensor }) => tensor.role),
  );
  return policies[policy].floors.flatMap((text) => {
    const floor = parseFloor(text);
    const roles = floor.roles.filter((role) => present.has(role) && !decided.has(role));
    return roles.length === 0 ? [] : [{ ...floor, roles, text: `${text} of policy ${policy}` }];
  });
}
