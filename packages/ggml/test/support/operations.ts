/** @file Operations of a graph in plain JavaScript, in double precision. */
import type { RopeSettings } from '../../src/index.js';
import { at, eachRow, fill, map, type Tensor, zip } from './tensors.js';

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
export const silu = (x: number): number => x * sigmoid(x);
export const siluSlope = (x: number): number => sigmoid(x) * (1 + x * (1 - sigmoid(x)));

const geluInner = (x: number): number => Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3);
export const gelu = (x: number): number => (x / 2) * (1 + Math.tanh(geluInner(x)));

export function rmsNorm(a: Tensor, epsilon: number): Tensor {
  return eachRow(a, (row) => {
    const mean = row.reduce((sum, x) => sum + x * x, 0) / row.length;
    return row.map((x) => x / Math.sqrt(mean + epsilon));
  });
}

/** dx = s (dy - y <dy, y> / n), y = s x, s = 1 / sqrt(mean x^2 + epsilon) */
export function rmsNormBack(dy: Tensor, x: Tensor, epsilon: number): Tensor {
  let place = 0;
  return eachRow(x, (row) => {
    const upper = dy.values.subarray(place, (place += row.length));
    const s = 1 / Math.sqrt(row.reduce((sum, value) => sum + value * value, 0) / row.length + epsilon);
    const inner = row.reduce((sum, value, i) => sum + value * s * upper[i], 0) / row.length;
    return row.map((value, i) => s * (upper[i] - value * s * inner));
  });
}

export function softmax(a: Tensor, mask: Tensor | null, factor: number): Tensor {
  return eachRow(a, (row, [, b, c, d]) => {
    const scores = row.map((x, i) => factor * x + (mask === null ? 0 : at(mask, [i, b, c, d])));
    const most = Math.max(...scores);
    const shares = scores.map((score) => Math.exp(score - most));
    const sum = shares.reduce((total, share) => total + share, 0);
    return shares.map((share) => share / sum);
  });
}

export function softmaxBack(dy: Tensor, y: Tensor, factor: number): Tensor {
  let place = 0;
  return eachRow(y, (row) => {
    const upper = dy.values.subarray(place, (place += row.length));
    const inner = row.reduce((sum, share, i) => sum + share * upper[i], 0);
    return row.map((share, i) => factor * share * (upper[i] - inner));
  });
}

/** The YaRN paper's blend of stretched and unstretched angles, as ggml computes it. */
function angle(position: number, pair: number, divisor: number, settings: RopeSettings): [number, number] {
  const { dimensions, base, scale, extrapolation, originalContext, betaFast, betaSlow } = settings;
  const plain = (position * base ** ((-2 * pair) / dimensions)) / divisor;
  if (extrapolation === 0) return [plain * scale, settings.attention];
  const turns = (beta: number): number =>
    (dimensions * Math.log(originalContext / (beta * 2 * Math.PI))) / (2 * Math.log(base));
  const low = Math.max(0, Math.floor(turns(betaFast)));
  const high = Math.min(dimensions - 1, Math.ceil(turns(betaSlow)));
  const ramp = 1 - Math.min(1, Math.max(0, (pair - low) / Math.max(0.001, high - low)));
  const mix = ramp * extrapolation;
  return [plain * scale * (1 - mix) + plain * mix, settings.attention * (1 + 0.1 * Math.log(1 / scale))];
}

/** Turns pairs of each head; `direction` -1 is the transpose, which takes gradients back. */
export function rope(
  a: Tensor,
  positions: readonly number[],
  factors: readonly number[] | null,
  settings: RopeSettings,
  direction: 1 | -1 = 1,
): Tensor {
  const { dimensions, mode } = settings;
  return fill(a.shape, ([i, b, c, d], place) => {
    if (i >= dimensions) return a.values[place];
    const half = dimensions / 2;
    const pair = mode === 0 ? Math.floor(i / 2) : i % half;
    const first = mode === 0 ? i % 2 === 0 : i < half;
    const other = mode === 0 ? i + (first ? 1 : -1) : i + (first ? half : -half);
    const [theta, size] = angle(positions[c], pair, factors?.[pair] ?? 1, settings);
    const sine = direction * Math.sin(theta) * (first ? -1 : 1);
    return size * (a.values[place] * Math.cos(theta) + at(a, [other, b, c, d]) * sine);
  });
}

export const plainRope: RopeSettings = {
  dimensions: 8,
  mode: 0,
  originalContext: 4096,
  base: 10_000,
  scale: 1,
  extrapolation: 0,
  attention: 1,
  betaFast: 32,
  betaSlow: 1,
};

export const product = (a: Tensor, b: Tensor): Tensor => zip(a, b, (x, y) => x * y);
export const scaled = (a: Tensor, factor: number, offset = 0): Tensor => map(a, (x) => factor * x + offset);
