/** @file Draws from a seeded stream of numbers in [0, 1). */

export function pick<Item>(items: readonly Item[], random: () => number): Item {
  return items[Math.floor(random() * items.length)];
}

/** @param weights at least one above zero */
export function drawWeighted<Item>(
  items: readonly Item[],
  weights: readonly number[],
  random: () => number,
): Item {
  let left = random() * weights.reduce((sum, weight) => sum + weight, 0);
  for (const [index, item] of items.entries()) {
    left -= weights[index];
    if (left < 0) return item;
  }
  return items[items.length - 1];
}

/** Standard normal, by Box and Muller. */
export function drawNormal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
