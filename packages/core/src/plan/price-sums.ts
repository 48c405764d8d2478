/** @file What the prices of a plan come to, in nats per token. */
import type { KnapsackChoice } from './least-sum.js';

export interface PriceSums {
  /** Of all tensors. */
  readonly priceSum: number;
  /** Of those whose errors others carry on: all but an output head of its own. */
  readonly bodySum: number;
}

/** @param picked the plan, as an index into every choice's candidates */
export function priceSumsOf(choices: readonly KnapsackChoice[], picked: readonly number[]): PriceSums {
  let priceSum = 0;
  let bodySum = 0;
  for (const [index, { candidates, direct }] of choices.entries()) {
    const { klNats } = candidates[picked[index]];
    priceSum += klNats;
    if (direct !== true) bodySum += klNats;
  }
  return { priceSum, bodySum };
}
