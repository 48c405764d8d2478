/** @file A scheme by the name that a person wrote, in a lock or a plan file, checked against the tensor it is meant for. */
import type { BitsmithError } from '@bitsmith/formats';
import type { ModelTensor } from '../model/types.js';
import {
  findScheme,
  ggufSchemes,
  isLegalForRows,
  legalSchemes,
  nearestSchemes,
  schemeNames,
  type StorageType,
} from './schemes.js';
import { didYouMean } from './nearest-names.js';
import { planError } from './plan-error.js';

/** The word that stands for "as the source stores it". */
export const KEEP = 'keep';

/**
 * The type that `name` means for this tensor. The stored type is always legal, whatever it is.
 * @param where what to name in the message, for example "lock 'attn_v=Q6_K'" or "plan file line 12"
 * @throws BitsmithError `SCHEME_UNKNOWN` or `SCHEME_ILLEGAL`, with the legal names.
 */
export function schemeForTensor(name: string, tensor: ModelTensor, where: string): StorageType {
  if (name.toLowerCase() === KEEP || name.toUpperCase() === tensor.type) return tensor.type;
  const scheme = findScheme(name);
  if (scheme === undefined) throw unknownScheme(name, where);
  const rowLength = tensor.shape[0];
  if (isLegalForRows(scheme, rowLength)) return scheme.id;
  const legal = [...new Set([...legalSchemes(rowLength, ggufSchemes).map(({ id }) => id), tensor.type])].join(
    ', ',
  );
  throw planError(
    'SCHEME_ILLEGAL',
    `${where}: ${scheme.id} stores rows of a multiple of ${scheme.rowMultiple} weights, but ${tensor.name} has rows of ${rowLength}`,
    { expected: `one of ${legal}`, found: scheme.id, suggestion: `Legal for ${tensor.name}: ${legal}.` },
  );
}

/** Refuses a name that is no scheme at all. */
export function unknownScheme(name: string, where: string): BitsmithError {
  const meant = didYouMean(nearestSchemes(name));
  return planError('SCHEME_UNKNOWN', `${where}: expected a scheme, found ${JSON.stringify(name)}`, {
    expected: `one of ${schemeNames}, or ${KEEP}`,
    found: name,
    suggestion: `${meant}Schemes: ${schemeNames}; or ${KEEP}, to leave the tensor as it is stored.`,
  });
}
