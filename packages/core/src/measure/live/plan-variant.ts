/** @file A whole plan as changes to the live model. */
import type { SourceModel } from '../../model/types.js';
import type { StorageType } from '../../plan/schemes.js';
import type { Variant } from './change.js';

/** Every tensor that is not stored as it was; those that `schemes` does not name stay so. */
export function planVariant(
  { tensors }: Pick<SourceModel, 'tensors'>,
  id: string,
  schemes: ReadonlyMap<string, StorageType>,
): Variant {
  const changes = tensors.flatMap(({ name, type }) => {
    const scheme = schemes.get(name) ?? type;
    return scheme === type ? [] : [{ tensor: name, change: { kind: 'scheme', scheme } as const }];
  });
  return { id, changes };
}
