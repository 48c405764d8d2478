/** @file What a user did not say: out of a profile, and out of the policy and target that stand for defaults. */
import { parsePolicy, parseTarget, policies, targets } from '../plan/profiles/policies.js';
import type { Profile } from '../plan/profiles/profile.js';
import type { RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import type { PlanOptions } from './plan-options.js';
import { loadProfile } from './profiles.js';
import { givenWishes, type WishOptions } from './wishes.js';

/**
 * The options with what a profile, a policy and a target add to them.
 * @param needsBudget false where no policy or target need stand in for a budget
 * @throws BitsmithError kind `profile`; `POLICY_UNKNOWN`, `TARGET_UNKNOWN`
 */
export async function* completeOptions<Options extends PlanOptions>(
  run: RunContext,
  asked: Options,
  { needsBudget = true }: { needsBudget?: boolean } = {},
): Work<Options> {
  const { profile: name } = asked;
  const options =
    name === undefined ? asked : withProfile(asked, (await loadProfile(run.store, name)).profile);
  const policy = options.policy === undefined ? null : parsePolicy(options.policy);
  const target = options.target === undefined ? null : parseTarget(options.target);
  if (isGiven(options)) return options;
  const open = givenWishes(options).length === 0;
  // Schemes by tensors are a plan by hand, with its own size and quality; what it leaves open is told.
  if (open && options.tensors !== undefined) return options;
  const minCosine = options.minCosine ?? (target === null ? undefined : targets[target].minCosine);
  const fallback = target === null ? policy && policies[policy] : targets[target];
  if (!open || !needsBudget || fallback === null) return { ...options, minCosine };
  const { bitsPerWeight } = fallback;
  const message = `No budget is given: ${bitsPerWeight} bits per weight, as ${target ?? policy} has it.`;
  yield { type: 'note', level: 'info', message };
  return { ...options, bitsPerWeight, minCosine };
}

function isGiven({ planFile, preset }: PlanOptions): boolean {
  return planFile !== undefined || preset !== undefined;
}

/** What the profile says, where nothing else is said. A budget is taken whole, or not at all. */
function withProfile<Options extends PlanOptions>(asked: Options, profile: Profile): Options {
  const {
    budget,
    locks,
    floors,
    schemes,
    couple,
    tensors,
    preset,
    chunk,
    about: _,
    search,
    policy,
    target,
    protectSuperWeights,
    coverage,
    protectBits,
    ...rest
  } = profile;
  // A plan that is given leaves nothing to choose.
  const protection = { protectSuperWeights, coverage, protectBits };
  const choice = isGiven(asked) ? {} : { schemes, couple, search, policy, target, ...protection };
  const wishes = isGiven(asked) || givenWishes(asked).length > 0 ? {} : { preset, ...wishesOf(budget) };
  return {
    ...asked,
    ...missing({ ...rest, contextTokens: chunk, ...choice, ...wishes }, asked),
    locks: [...(locks ?? []), ...(asked.locks ?? [])],
    floors: [...(isGiven(asked) ? [] : (floors ?? [])), ...(asked.floors ?? [])],
    tensors: tensors === undefined ? asked.tensors : { ...tensors, ...asked.tensors },
  };
}

function wishesOf(budget: Profile['budget'] = {}): WishOptions {
  const { bpw, kvType, maxPplIncrease, ...rest } = budget;
  return { ...rest, bitsPerWeight: bpw, keyValueType: kvType, maxPerplexityIncrease: maxPplIncrease };
}

/** What `more` says and `options` does not. */
function missing(more: Partial<PlanOptions>, options: PlanOptions): Partial<PlanOptions> {
  const entries = Object.entries(more) as [keyof PlanOptions, unknown][];
  return Object.fromEntries(
    entries.filter(([key, value]) => value !== undefined && options[key] === undefined),
  );
}
