/** @file Prices of tensors and schemes, in whatever unit, as what a solver chooses from. */
import { type Choice, priceOptions, type SchemeId, type TensorOptions, type Wanted } from '@bitsmith/core';

/** By tensor and scheme, in any unit. */
export type Prices = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** Everything that has a choice, in what it may be stored in besides its own type. */
export function wantedOf(storage: readonly TensorOptions[]): Wanted[] {
  return storage
    .map(({ tensor, options }) => ({
      tensor,
      schemes: options.map(({ scheme }) => scheme as SchemeId).filter((scheme) => scheme !== tensor.type),
    }))
    .filter(({ schemes }) => schemes.length > 0);
}

/** Tensors as stored cost nothing. */
export function choicesOf(storage: readonly TensorOptions[], prices: Prices): readonly Choice[] {
  const measured = storage.flatMap(({ tensor }) => {
    const errors = prices.get(tensor.name);
    return errors === undefined ? [] : [{ tensor, errors, inNats: true, probe: null }];
  });
  return priceOptions(storage, measured);
}
