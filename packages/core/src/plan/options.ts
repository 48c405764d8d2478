/**
 * @file What each tensor may become, before anything is measured: the types it can be stored in with their exact bytes, and
 * why the list is what it is. Keeping a tensor as stored loses nothing, so types that take no less room are left out.
 */
import type { ModelTensor } from '../model/types.js';
import { bytesRange, FILE_ALIGNMENT, storedBytes } from './bytes.js';
import { encodableSchemes } from './encodable-schemes.js';
import type { AppliedLock } from './locks.js';
import { quantizable } from './quantizable.js';
import { type CatalogueScheme, ggufSchemes, type StorageType } from './schemes.js';
import type { Choice } from './types.js';

export interface StorageOption {
  readonly scheme: StorageType;
  /** Exact bytes in the file, alignment padding included. */
  readonly bytes: number;
}

export interface TensorOptions {
  readonly tensor: ModelTensor;
  /** The type it is stored in stands last, where it is among them. */
  readonly options: readonly StorageOption[];
  readonly constraint: Choice['constraint'];
  readonly limits?: Choice['limits'];
  /** What a locked tensor could be stored in were it free. */
  readonly beside?: readonly StorageOption[];
}

/** Tensor data of the smallest and the largest plan, in bytes with padding. */
export interface DataRange {
  readonly smallestBytes: number;
  readonly largestBytes: number;
}

/**
 * The options of every tensor, in the order given.
 * @param among schemes that free tensors may be stored in, besides staying as they are
 */
export function storageOptions(
  tensors: readonly ModelTensor[],
  locks: ReadonlyMap<string, AppliedLock> = new Map(),
  alignment: number = FILE_ALIGNMENT,
  among: readonly CatalogueScheme[] = ggufSchemes,
): readonly TensorOptions[] {
  return tensors.map((tensor) => {
    const { types, constraint } = allowedTypes(tensor, locks.get(tensor.name), among);
    const optionOf = (scheme: StorageType): StorageOption => ({
      scheme,
      bytes: storedBytes(scheme, tensor.shape, alignment),
    });
    const options = types.map(optionOf);
    if (constraint?.kind !== 'lock') return { tensor, options, constraint };
    const free = allowedTypes(tensor, undefined, among).types;
    return { tensor, options, constraint, beside: free.map(optionOf) };
  });
}

function allowedTypes(
  tensor: ModelTensor,
  lock: AppliedLock | undefined,
  among: readonly CatalogueScheme[],
): { types: readonly StorageType[]; constraint: Choice['constraint'] } {
  const { allowed, reason } = quantizable(tensor);
  if (!allowed) return { types: [tensor.type], constraint: { kind: 'kept', note: reason } };
  if (lock !== undefined) return { types: [lock.scheme], constraint: { kind: 'lock', note: lock.text } };
  const smaller = encodableSchemes(tensor.shape[0], tensor.type, among);
  if (smaller.length > 0) return { types: [...smaller, tensor.type], constraint: null };
  const which = among === ggufSchemes ? 'nothing' : 'none of the allowed schemes that is';
  const note = `${which} smaller than ${tensor.type} can store rows of ${tensor.shape[0]} weights`;
  return { types: [tensor.type], constraint: { kind: 'only-legal', note } };
}

/** The sizes that plans over these options can have. */
export function dataRange(
  options: readonly { readonly options: readonly { readonly bytes: number }[] }[],
): DataRange {
  const [smallestBytes, largestBytes] = bytesRange(
    options.map(({ options: candidates }) => ({ candidates })),
  );
  return { smallestBytes, largestBytes };
}
