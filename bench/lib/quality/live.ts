/** @file Whole plans as changes to the live model, on the report text. */
import {
  measureVariants,
  planVariant,
  type RunContext,
  type StorageType,
  type TrueLoss,
  type Work,
} from '@bitsmith/core';
import type { Setting } from './setting.js';

/** The scheme of every tensor; those that are not named stay as stored. */
export interface Contestant {
  readonly id: string;
  readonly schemes: ReadonlyMap<string, StorageType>;
}

/** True losses by id. */
export async function* measureContestants(
  run: RunContext,
  { model, calibration, live }: Setting,
  contestants: readonly Contestant[],
): Work<(id: string) => TrueLoss> {
  const variants = contestants.map(({ id, schemes }) => planVariant(model, id, schemes));
  const losses = yield* measureVariants(run, model, calibration, live, variants, 'whole plans');
  return (id) => {
    const loss = losses.get(id);
    if (loss === undefined) throw new Error(`expected a true loss of ${id}`);
    return loss;
  };
}
