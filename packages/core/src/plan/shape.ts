/** @file What every tensor may become under locks, floors, a policy, allowed schemes and couplings, before anything is measured. */
import { tiedTensors } from '../model/tied.js';
import type { SourceModel } from '../model/types.js';
import { refuseNoneLegal } from './container.js';
import { coupleOptions, type CouplingGroup, couplingGroups, type CouplingKind } from './coupling.js';
import { applyFloors, type Floor } from './floors.js';
import { type AppliedLock, applyLocks, type Lock } from './locks.js';
import { storageOptions, type TensorOptions } from './options.js';
import { parsePolicy, policyFloors } from './profiles/policies.js';
import type { CatalogueScheme } from './schemes.js';

export interface ShapeWishes {
  readonly locks: readonly Lock[];
  readonly floors: readonly Floor[];
  readonly couplings: readonly CouplingKind[];
  readonly allowed: readonly CatalogueScheme[];
  /** The words that `allowed` was read from; undefined where nothing was said. */
  readonly schemes: readonly string[] | undefined;
  readonly policy: string | undefined;
}

export interface Shape {
  readonly storage: readonly TensorOptions[];
  readonly groups: readonly CouplingGroup[];
  readonly locks: ReadonlyMap<string, AppliedLock>;
}

/** @throws BitsmithError what does not go together, by its lock, floor, policy, coupling or scheme */
export function shapeOf(
  model: Pick<SourceModel, 'architecture' | 'metadata' | 'tensors'>,
  { locks: given, floors, couplings, allowed, schemes, policy }: ShapeWishes,
): Shape {
  const { tensors } = model;
  const locks = applyLocks(given, tensors, tiedTensors(model));
  const groups = couplingGroups(tensors, couplings);
  const open = applyFloors(storageOptions(tensors, locks, undefined, allowed), floors);
  const more = policy === undefined ? [] : policyFloors(parsePolicy(policy), open, floors);
  const storage = coupleOptions(applyFloors(open, more), groups);
  if (schemes !== undefined) refuseNoneLegal(storage, allowed, schemes);
  return { storage, groups, locks };
}
