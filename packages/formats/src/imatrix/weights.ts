import type { ImportanceEntry } from './types.js';

/**
 * Mean squared input per channel: the weights that llama-quantize hands to its encoders, bit for bit. A matrix that saw no
 * token weighs every channel 1.
 * @returns `matrices` rows of `columns`, float32.
 */
export function importanceWeights(entry: ImportanceEntry): Float32Array {
  const { columns, matrices, inSum2, counts } = entry;
  const weights = new Float32Array(inSum2.length);
  for (let matrix = 0; matrix < matrices; matrix++) {
    // llama.cpp reads counts into integers, rounding halves away from zero.
    const count = Math.fround(Math.round(counts[matrix]));
    const start = matrix * columns;
    const end = start + columns;
    if (count === 0) weights.fill(1, start, end);
    else for (let index = start; index < end; index++) weights[index] = inSum2[index] / count;
  }
  return weights;
}
