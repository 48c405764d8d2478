/**
 * @file How a tensor's weights are rounded into a scheme. A descent tries the methods in order: the first is plain, later ones may
 * take longer and lose less, and are tried where the ones before failed a step.
 */
import type { Change } from '../../measure/live/change.js';
import type { StorageType } from '../../plan/schemes.js';
import type { RunEvent } from '../../run/events.js';

export interface RoundingMethod {
  /** Stands in the path beside every step. */
  readonly name: string;
  /** Makes what `change` gives for these tensors; absent where there is nothing to make. */
  prepare?(schemes: ReadonlyMap<string, StorageType>): AsyncGenerator<RunEvent, void, void>;
  /** The tensor's bytes in the scheme, as a change to the live model; null where the method has none. */
  change(tensor: string, scheme: StorageType): Change | null;
}

/** The scheme's own encoder with the importance matrix: what a written file holds. */
export const plainRounding: RoundingMethod = {
  name: 'plain',
  change: (_, scheme) => ({ kind: 'scheme', scheme }),
};
