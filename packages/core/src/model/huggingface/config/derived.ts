/** @file The values of a configuration that are computed from others when they are not given. */
import type { JsonObject } from '../folder.js';

export function numericOr(value: unknown, fallback: unknown): unknown {
  return value ?? fallback;
}

/** The width of one attention head: as given, else the hidden size over the heads. */
export function headDimension(config: JsonObject): unknown {
  const { head_dim: given, hidden_size: hidden, num_attention_heads: heads } = config;
  if (given !== undefined && given !== null) return given;
  return typeof hidden === 'number' && typeof heads === 'number' ? Math.floor(hidden / heads) : undefined;
}

export function usedSlidingWindow(config: JsonObject): unknown {
  return config.use_sliding_window === true ? config.sliding_window : null;
}
