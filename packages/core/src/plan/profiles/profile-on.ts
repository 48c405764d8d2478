/** @file A profile held against a model: what it fixes, what it leaves open, and which sizes plans within it may have. */
import { tiedTensors } from '../../model/tied.js';
import type { SourceModel } from '../../model/types.js';
import { coupleOptions, couplingGroups, parseCouplings } from '../coupling.js';
import { applyFloors, parseFloor } from '../floors.js';
import { applyLocks, parseLock } from '../locks.js';
import { dataRange, type DataRange, storageOptions } from '../options.js';
import { parseSchemes } from '../scheme-list.js';
import { parsePolicy, policyFloors } from './policies.js';
import type { Profile } from './profile.js';
import { tensorLocks } from './tensor-locks.js';

export interface ProfileFit {
  /** Tensors that locks decide. */
  readonly locked: number;
  /** Tensors with something to choose. */
  readonly open: number;
  /** Tensors that stay as they are stored. */
  readonly kept: number;
  /** Bytes of tensor data of the smallest and the largest plan. */
  readonly data: DataRange;
}

/**
 * What a profile makes of a model.
 * @throws BitsmithError what planning with it would say of its locks, floors, schemes and tensors
 */
export function profileOn(
  profile: Profile,
  model: Pick<SourceModel, 'architecture' | 'metadata' | 'tensors'>,
): ProfileFit {
  const { tensors } = model;
  const floors = (profile.floors ?? []).map(parseFloor);
  const locks = [...(profile.locks ?? []).map(parseLock), ...tensorLocks(profile.tensors ?? {}, tensors)];
  const applied = applyLocks(locks, tensors, tiedTensors(model));
  const free = applyFloors(
    storageOptions(tensors, applied, undefined, parseSchemes(profile.schemes)),
    floors,
  );
  const policy = profile.policy === undefined ? [] : policyFloors(parsePolicy(profile.policy), free, floors);
  const groups = couplingGroups(tensors, parseCouplings(profile.couple ?? []));
  const storage = coupleOptions(applyFloors(free, policy), groups);
  const locked = storage.filter(({ constraint }) => constraint?.kind === 'lock').length;
  const open = storage.filter(({ options }) => options.length > 1).length;
  return { locked, open, kept: storage.length - locked - open, data: dataRange(storage) };
}
