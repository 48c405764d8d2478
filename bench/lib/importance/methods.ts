/** @file Every method's estimates of every pair. */
import {
  measure,
  priceOptions,
  type SchemeId,
  storedBytes,
  type TensorOptions,
  type Wanted,
  type Work,
} from '@bitsmith/core';
import type { Estimate } from './estimates.js';
import { idOf, type Pair } from './ladder.js';
import type { Setting } from './setting.js';

export async function* estimateAll(on: Setting, pairs: readonly Pair[]): Work<Estimate[]> {
  return [yield* probeEstimate(on, pairs)];
}

/** The planner's prices: weight errors, scaled by one true loss a tensor. */
async function* probeEstimate(on: Setting, pairs: readonly Pair[]): Work<Estimate> {
  const wanted = wantedOf(pairs);
  const measured = yield* measure(on.run, on.model, on.calibration, on.texts.search, wanted);
  const options = wanted.map(({ tensor, schemes }): TensorOptions => ({
    tensor,
    options: schemes.map((scheme) => ({ scheme, bytes: storedBytes(scheme, tensor.shape) })),
    constraint: null,
  }));
  const values = new Map<string, number>();
  for (const { tensor, candidates } of priceOptions(options, measured)) {
    for (const { scheme, klNats } of candidates) values.set(idOf(tensor, scheme), klNats);
  }
  return { method: 'error x probe', inNats: true, knowsSchemes: true, values };
}

/** The pairs, tensor by tensor. */
export function wantedOf(pairs: readonly Pair[]): Wanted[] {
  const byTensor = new Map<string, { tensor: Pair['tensor']; schemes: SchemeId[] }>();
  for (const { tensor, scheme } of pairs) {
    const known = byTensor.get(tensor.name);
    if (known === undefined) byTensor.set(tensor.name, { tensor, schemes: [scheme] });
    else known.schemes.push(scheme);
  }
  return [...byTensor.values()];
}
