/** @file What encoders are told of rounding: how codes are chosen, and by which matrices. */
import type { GramPlace } from './gram-files.js';

/** What is done beyond the nearest codes. */
export interface Rounding {
  readonly feedback: boolean;
  readonly refit: boolean;
}

/** What a task is told of it. */
export interface RoundingParameters {
  readonly rounding: Rounding;
  /** By tensor: the matrix that codes are chosen by, and one of other text, to check them by. */
  readonly grams: Readonly<Record<string, { readonly fit: GramPlace; readonly check: GramPlace }>>;
}
