/** Uniform numbers in [0, 1), the same for the same seed. */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** `count` values that look like trained weights: bell-shaped around 0, of the given spread. */
export function weights(count: number, seed: number, spread = 0.05): Float32Array {
  const next = uniform(seed);
  return Float32Array.from({ length: count }, () => (next() + next() + next() + next() - 2) * spread);
}

/** Positive importance over three orders of magnitude. */
export function importanceWeights(count: number, seed: number): Float32Array {
  const next = uniform(seed);
  return Float32Array.from({ length: count }, () => 0.001 + next() ** 4);
}
