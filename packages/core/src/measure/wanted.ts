/** @file What a measurement is asked about: tensors, and the schemes that each might be stored in. */
import type { ModelTensor } from '../model/types.js';
import type { SchemeId } from '../plan/schemes.js';

export interface Wanted {
  readonly tensor: ModelTensor;
  /** Schemes other than the stored type; none where it is kept. */
  readonly schemes: readonly SchemeId[];
  /** Of a tensor that is locked: schemes that no plan takes, priced for what a plan says of its steps. */
  readonly beside?: readonly SchemeId[];
}
