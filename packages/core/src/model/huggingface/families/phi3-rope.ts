/** @file Phi-3's rotary factors for short and long contexts, and the scale of attention that goes with the longer context. */
import { BitsmithError } from '@bitsmith/formats';
import type { JsonObject } from '../folder.js';

export interface Phi3RopeFactors {
  readonly attentionFactor: number;
  readonly long: Float32Array;
  readonly short: Float32Array;
}

interface RopeExtents {
  readonly context: number;
  readonly trainedContext: number;
  readonly rotaryWidth: number;
}

/** `undefined` for models whose context was never stretched. */
export function phi3RopeFactors(rope: JsonObject, extents: RopeExtents): Phi3RopeFactors | undefined {
  const { long_factor: long, short_factor: short } = rope;
  if (!Array.isArray(long) || long.length === 0) return undefined;
  const pairs = extents.rotaryWidth / 2;
  const attentionFactor = attentionScale(rope.rope_type, extents);
  return {
    attentionFactor,
    long: factors(long, pairs, 'long_factor'),
    short: factors(short, pairs, 'short_factor'),
  };
}

function attentionScale(type: unknown, { context, trainedContext }: RopeExtents): number {
  const stretch = context / trainedContext;
  const name = typeof type === 'string' ? type.toLowerCase() : type;
  if (name === 'su' || name === 'longrope') {
    return stretch > 1 ? Math.sqrt(1 + Math.log(stretch) / Math.log(trainedContext)) : 1;
  }
  if (name === 'yarn') return stretch > 1 ? 0.1 * Math.log(stretch) + 1 : 1;
  throw new BitsmithError(
    'unsupported',
    'MODEL_ROPE',
    `unknown RoPE scaling ${JSON.stringify(type) ?? 'without a type'}`,
    {
      expected: 'longrope, su or yarn',
      found: JSON.stringify(type) ?? 'nothing',
      suggestion: "Restore the model's config.json.",
    },
  );
}

function factors(values: unknown, pairs: number, key: string): Float32Array {
  if (
    Array.isArray(values) &&
    values.length === pairs &&
    values.every((value) => typeof value === 'number')
  ) {
    return Float32Array.from(values);
  }
  throw new BitsmithError('validation', 'MODEL_ROPE', `${key} does not fit the model's heads`, {
    expected: `${pairs} numbers`,
    found: Array.isArray(values) ? `${values.length} values` : 'no list',
    suggestion: "Restore the model's config.json.",
  });
}
