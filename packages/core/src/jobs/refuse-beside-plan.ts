/** @file What a plan that is given decides already, and what therefore has no place beside it. */
import { BitsmithError } from '@bitsmith/formats';
import type { PlanOptions } from './plan-options.js';
import { givenWishes } from './wishes.js';

/** A plan file or a preset has its own size: a budget beside it would be passed over in silence. */
export function refuseBesidePlan(options: PlanOptions): void {
  refuseFloorsBesidePlan(options);
  if (options.planFile !== undefined && options.preset !== undefined) {
    throw new BitsmithError(
      'arguments',
      'PRESET_BESIDE_PLAN',
      `expected a plan file or a preset, found both: --plan ${options.planFile} --preset ${options.preset}`,
      { suggestion: 'Leave one of them out.' },
    );
  }
  refuseSchemesBesidePlan(options);
  refuseSearchBesidePlan(options);
  refusePolicyBesidePlan(options);
  const given = givenWishes(options);
  if (given.length === 0) return;
  const flags = given.join(' ');
  throw new BitsmithError(
    'arguments',
    'BUDGET_BESIDE_PLAN',
    `expected a plan file, a preset or a budget, found two of them: ${flags}`,
    {
      suggestion:
        'Leave the budget out to take the plan or preset as it is, or keep the budget alone to make a new plan.',
    },
  );
}

/** What a plan file says is decided: a floor beside it would be passed over in silence. */
function refuseFloorsBesidePlan({ floors = [] }: PlanOptions): void {
  if (floors.length === 0) return;
  throw new BitsmithError(
    'arguments',
    'FLOOR_BESIDE_PLAN',
    `expected a plan file, a preset or floors, found two of them: ${floors.map((floor) => `--floor ${floor}`).join(' ')}`,
    { suggestion: 'Leave the floors out and edit the plan file, or make a new plan with them.' },
  );
}

function refuseSchemesBesidePlan({ schemes }: PlanOptions): void {
  if (schemes === undefined) return;
  throw new BitsmithError(
    'arguments',
    'SCHEMES_BESIDE_PLAN',
    `expected a plan file or schemes to choose from, found both: --schemes ${schemes.join(',')}`,
    { suggestion: 'Leave --schemes out and edit the plan file, or make a new plan with them.' },
  );
}

function refuseSearchBesidePlan({ search = 'none' }: PlanOptions): void {
  if (search === 'none') return;
  throw new BitsmithError(
    'arguments',
    'SEARCH_BESIDE_PLAN',
    `expected a plan file, a preset or a search, found two of them: --search ${search}`,
    { suggestion: 'Leave --search out to take the plan as it is, or give a budget to search within.' },
  );
}

function refusePolicyBesidePlan({ policy, target }: PlanOptions): void {
  const flags = Object.entries({ policy, target }).flatMap(([flag, name]) =>
    name === undefined ? [] : [`--${flag} ${name}`],
  );
  if (flags.length === 0) return;
  throw new BitsmithError(
    'arguments',
    'POLICY_BESIDE_PLAN',
    `expected a plan file, a preset or a policy, found two of them: ${flags.join(' ')}`,
    { suggestion: `Leave ${flags.join(' and ')} out to take the plan or preset as it is.` },
  );
}
