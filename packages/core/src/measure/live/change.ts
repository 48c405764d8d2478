/** @file What can be done to one tensor of the live model, so that its true cost can be measured. */
import type { StorageType } from '../../plan/schemes.js';

export type Change =
  /** What a written file would hold in this scheme: its bytes, or floats that equal what they decode to. */
  | { readonly kind: 'scheme'; readonly scheme: StorageType }
  /** Bytes in this scheme that were made before: the tensor's parts in a file of encoded tensors. */
  | { readonly kind: 'encoded'; readonly scheme: StorageType; readonly path: string; readonly name: string }
  /** Gaussian noise with `relative` times the tensor's root mean square as its standard deviation. */
  | { readonly kind: 'noise'; readonly relative: number; readonly seed: number }
  /** All weights zero. */
  | { readonly kind: 'zero' }
  /** These weights zero. */
  | { readonly kind: 'without'; readonly weights: readonly WeightPlace[] };

/** One weight of a tensor; rows are counted over all of its matrices. */
export interface WeightPlace {
  readonly row: number;
  readonly column: number;
}

export interface TensorChange {
  readonly tensor: string;
  readonly change: Change;
}

/** A set of changes whose common loss is measured. Without any it is the model as it is. */
export interface Variant {
  readonly id: string;
  readonly changes: readonly TensorChange[];
}

/** What a change does, in the words of an error message. */
export function describeChange({ tensor, change }: TensorChange): string {
  switch (change.kind) {
    case 'scheme':
    case 'encoded':
      return `${tensor} in ${change.scheme}`;
    case 'noise':
      return `${tensor} under noise of ${change.relative} times its root mean square`;
    case 'zero':
      return `${tensor} set to zero`;
    case 'without':
      return `${tensor} without ${change.weights.length} of its weights`;
    default:
      return change satisfies never;
  }
}

/** Equal for changes that make the same bytes. */
export function changeKey(change: Change): string {
  switch (change.kind) {
    case 'scheme':
      return change.scheme;
    case 'encoded':
      return `${change.scheme} ${change.path} ${change.name}`;
    case 'noise':
      return `noise ${change.relative} ${change.seed}`;
    case 'zero':
      return 'zero';
    case 'without':
      return `without ${change.weights.map(({ row, column }) => `${row}:${column}`).join(' ')}`;
    default:
      return change satisfies never;
  }
}
