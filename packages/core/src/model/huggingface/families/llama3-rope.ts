/**
 * @file Llama 3's stretched context as one factor a frequency: high frequencies stay, low ones are slowed by `factor`, those between are
 * blended. Every step is rounded to float32, in PyTorch's order of operations, since the factors are stored as computed.
 */
import type { JsonObject } from '../folder.js';

const f = Math.fround;

/** @returns one factor for each pair of a head's values, or `undefined` where the model's context is not stretched so. */
export function llama3RopeFactors(rope: JsonObject, headWidth: number): Float32Array | undefined {
  if (typeof rope.rope_type !== 'string' || rope.rope_type.toLowerCase() !== 'llama3') return undefined;
  const number = (key: string, fallback: number): number => {
    const value = rope[key];
    return typeof value === 'number' ? value : fallback;
  };
  const factor = number('factor', 8);
  const low = number('low_freq_factor', 1);
  const high = number('high_freq_factor', 4);
  const trainedContext = number('original_max_position_embeddings', 8192);
  const base = number('rope_theta', 10_000);
  const longest = f(trainedContext / low);
  const shortest = f(trainedContext / high);

  return Float32Array.from({ length: headWidth / 2 }, (_, index) => {
    const frequency = f(1 / f(base ** f((2 * index) / headWidth)));
    const wavelength = f(f(1 / frequency) * f(2 * Math.PI));
    if (wavelength < shortest) return 1;
    if (wavelength > longest) return factor;
    const turns = f(f(1 / wavelength) * f(trainedContext));
    const smooth = f(f(turns - f(low)) / f(high - low));
    return f(1 / f(f(f(1 - smooth) / f(factor)) + smooth));
  });
}
