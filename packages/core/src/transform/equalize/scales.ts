/**
 * @file Scales of channels, from the sizes of what they carry and of what they are multiplied with.
 *
 *     smooth   s_j = max|X_j|^a / max|W_j|^(1 - a)     SmoothQuant; DiTAS at a = 1/2
 *     aware    s_j = mean|X_j|^a                       AWQ
 *
 * W'_.j = W_.j s_j and 1/s_j goes into whatever produces X. The geometric mean of an input's scales is brought to 1, since a common factor
 * changes nothing but the reach of half floats. A channel that carries nothing, or meets nothing, keeps s = 1.
 */
import { BitsmithError } from '@bitsmith/formats';

/** How scales follow from sizes. */
export interface ScaleRule {
  readonly family: 'smooth' | 'aware';
  /** From 0 to 1. */
  readonly alpha: number;
}

/** Sizes of what channels carry: |X|, over all positions. */
export interface ChannelSizes {
  readonly largest: Float32Array;
  readonly mean: Float32Array;
}

/** No channel is scaled by more than 2^16 either way: what is that far from the others is as good as nothing. */
const LARGEST_LOG = 16;

/** @param found the user's own words. @throws BitsmithError `ALPHA_INVALID` */
export function refuseBadAlpha(alpha: number, found = String(alpha)): void {
  if (alpha >= 0 && alpha <= 1) return;
  throw new BitsmithError(
    'equalization',
    'ALPHA_INVALID',
    `expected an alpha from 0 to 1 to equalize by, found ${found}`,
    {
      expected: 'from 0 (all by the weights) to 1 (all by the activations)',
      found,
      suggestion: 'Use --equalize 0.5, or --equalize search to have it chosen by error.',
    },
  );
}

/**
 * Scales, one a channel.
 * @param weights max|W_j| over all that read the channel
 */
export function channelScales(rule: ScaleRule, sizes: ChannelSizes, weights: Float32Array): Float32Array {
  const logs = Float64Array.from(weights, (weight, channel) => logScale(rule, sizes, weight, channel));
  const live = logs.filter((log) => !Number.isNaN(log));
  const middle = live.reduce((sum, log) => sum + log, 0) / Math.max(1, live.length);
  return Float32Array.from(logs, (log) => (Number.isNaN(log) ? 1 : 2 ** clamp(log - middle)));
}

/** log2 of a scale; NaN for a channel without a size. */
function logScale(
  { family, alpha }: ScaleRule,
  { largest, mean }: ChannelSizes,
  weight: number,
  channel: number,
): number {
  if (!(largest[channel] > 0 && weight > 0)) return Number.NaN;
  if (family === 'aware') return alpha * Math.log2(mean[channel]);
  return alpha * Math.log2(largest[channel]) - (1 - alpha) * Math.log2(weight);
}

function clamp(log: number): number {
  return Math.max(-LARGEST_LOG, Math.min(LARGEST_LOG, log));
}

/** How far the largest channel stands above the one in the middle, of those that carry anything. */
export function outlierRatio(largest: Float32Array): number {
  const live = largest.filter((value) => value > 0).sort();
  if (live.length === 0) return 1;
  const middle = (live[Math.floor((live.length - 1) / 2)] + live[Math.ceil((live.length - 1) / 2)]) / 2;
  return live[live.length - 1] / middle;
}
