/** @file A profile held against a model: what it fixes, what it leaves open, and which sizes plans within it may have. */
import type { SourceModel } from '../../model/types.js';
import { parseCouplings } from '../coupling.js';
import { parseFloor } from '../floors.js';
import { parseLock } from '../locks.js';
import { dataRange, type DataRange } from '../options.js';
import { parseSchemes } from '../scheme-list.js';
import { shapeOf } from '../shape.js';
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
  const { schemes, policy } = profile;
  const { storage } = shapeOf(model, {
    locks: [...(profile.locks ?? []).map(parseLock), ...tensorLocks(profile.tensors ?? {}, model.tensors)],
    floors: (profile.floors ?? []).map(parseFloor),
    couplings: parseCouplings(profile.couple ?? []),
    allowed: parseSchemes(schemes),
    schemes,
    policy,
  });
  const locked = storage.filter(({ constraint }) => constraint?.kind === 'lock').length;
  const open = storage.filter(({ options }) => options.length > 1).length;
  return { locked, open, kept: storage.length - locked - open, data: dataRange(storage) };
}
