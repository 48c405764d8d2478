/** @file The budget the other way round: the fewest bytes at which the best plan's prices sum to no more than a limit. */
import { bytesRange } from './bytes.js';
import { type KnapsackChoice, solve } from './solve.js';

/** Sizes are told apart by this share. */
export const SIZE_STEP = 5e-4;

/**
 * Bytes of the smallest plan whose prices sum to no more than `priceSum`, to a step of 0.05 %, by bisection: the best price
 * falls as bytes grow. `mostBytes` where even that many do not reach it.
 */
export function leastBytes(choices: readonly KnapsackChoice[], priceSum: number, mostBytes: number): number {
  const [smallest, largest] = bytesRange(choices);
  const within = (bytes: number): boolean => solve(choices, bytes).klNats <= priceSum;
  if (within(smallest)) return smallest;
  let [low, high] = [smallest, Math.max(smallest, Math.min(largest, mostBytes))];
  while (high - low > SIZE_STEP * high) {
    const middle = Math.floor((low + high) / 2);
    if (within(middle)) high = middle;
    else low = middle;
  }
  return high;
}
