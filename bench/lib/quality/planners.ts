/**
 * @file Other ways to plan, each without a part of ours or with another's in its place, so that the parts can be told apart. All get the
 * same bytes, the same importance matrix and the same encoders; but for the last, the same solver.
 *
 * `k-quants`: our prices, only K-quants to choose from. `rules`: names and depth alone (`--method rules`). `activation`: what the
 * importance matrix says of each tensor's output. `one-at-a-time`: true losses of every tensor alone, the expensive oracle.
 * `row-normalised`: the criterion and the search of llama.cpp's open proposal (`row-normalised.ts`).
 */
import {
  type Choice,
  makePlan,
  type Method,
  type MethodInput,
  parseSchemes,
  priceOptions,
  rulePrices,
  type RunContext,
  scoresOf,
  storageOptions,
  type TensorOptions,
  type StorageType,
  withoutUnit,
  type Work,
} from '@bitsmith/core';
import type { PlannerName } from './cases.js';
import { hullPlan } from './hull-plan.js';
import { choicesOf, type Prices, wantedOf } from './prices.js';
import { rowNormalisedChoices } from './row-normalised.js';
import type { Setting } from './setting.js';

/** The scheme of every tensor, within so many bytes of tensor data. */
export type Planner = (dataBytes: number) => ReadonlyMap<string, StorageType>;

/** Measures what a way to plan needs, once for all sizes. */
export async function* plannerOf(name: PlannerName, run: RunContext, on: Setting): Work<Planner> {
  const { model, storage } = on;
  switch (name) {
    case 'k-quants': {
      const among = storageOptions(model.tensors, undefined, undefined, parseSchemes(['k-quants']));
      const prices = yield* pricesBy('gradient', run, on, among);
      return solver(on, choicesOf(among, prices));
    }
    case 'rules':
      return solver(on, withoutUnit(priceOptions(storage, rulePrices(storage))));
    case 'activation':
      return solver(on, withoutUnit(choicesOf(storage, yield* pricesBy('activation', run, on, storage))));
    case 'one-at-a-time': {
      const errors = yield* pricesBy('activation', run, on, storage);
      const losses = yield* pricesBy('rtn', run, on, storage);
      return solver(on, choicesOf(storage, completed(losses, errors)));
    }
    case 'row-normalised': {
      const choices = yield* rowNormalisedChoices(run, on);
      return (dataBytes) => hullPlan(choices, dataBytes);
    }
    default:
      return name satisfies never;
  }
}

async function* pricesBy(
  method: Method,
  run: RunContext,
  { model, calibration, search, single }: Setting,
  storage: readonly TensorOptions[],
): Work<Prices> {
  const input: MethodInput = {
    run,
    model,
    calibration,
    text: single,
    gradientText: search,
    samples: undefined,
    wanted: wantedOf(storage),
    // True losses are taken in about two, three and four bits: all schemes would take hours.
    chosenSchemes: method !== 'rtn',
  };
  const { scores } = yield* scoresOf(method, input);
  const prices = new Map<string, Map<string, number>>();
  for (const { tensor, scheme, value } of scores) {
    const known = prices.get(tensor) ?? new Map<string, number>();
    prices.set(tensor, known.set(String(scheme), Math.max(0, value)));
  }
  return prices;
}

/** Losses of schemes that were not measured, from the measured one of the same tensor that is nearest in error, by the ratio of the errors. */
function completed(losses: Prices, errors: Prices): Prices {
  return new Map(
    [...losses].map(([tensor, known]) => {
      const own = errors.get(tensor) ?? new Map<string, number>();
      const priceOf = (scheme: string, error: number): number => {
        const distance = (other: string): number => Math.abs(Math.log((own.get(other) ?? 0) / error));
        const [nearest] = [...known.keys()].toSorted((a, b) => distance(a) - distance(b));
        return known.get(scheme) ?? ((known.get(nearest) ?? 0) * error) / (own.get(nearest) ?? 0);
      };
      return [tensor, new Map([...own].map(([scheme, error]) => [scheme, priceOf(scheme, error)]))];
    }),
  );
}

function solver({ model }: Setting, choices: readonly Choice[]): Planner {
  const source = { name: model.name, sha256: model.sha256 };
  return (bytes) => {
    const budget = { request: `${bytes} bytes of tensor data`, bytes };
    const { tensors } = makePlan({ source, choices, budget, headerBytes: 0 });
    return new Map(tensors.map(({ tensor, scheme }) => [tensor, scheme as StorageType]));
  };
}
