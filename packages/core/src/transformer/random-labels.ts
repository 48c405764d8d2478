/**
 * @file Labels drawn from the model's own predictions, and the gradient of their log-probability. The draw for a position
 * depends on the seed, the sequence and the position alone: the same for any order of work.
 */
import { mix32 } from '../run/mulberry32.js';

/** A uniform number in [0, 1) from three counters: two rounds of MurmurHash3's finalizer over a Weyl sequence. */
function uniform(seed: number, sequence: number, position: number): number {
  let hash = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b);
  hash = mix32(hash + Math.imul(sequence + 1, 0x9e3779b1));
  hash = mix32(hash ^ Math.imul(position + 1, 0xc2b2ae3d));
  const low = mix32(hash + 0x6d2b79f5);
  return ((hash >>> 0) * 2 ** 21 + (low >>> 11)) / 2 ** 53;
}

export interface LabelDraw {
  readonly seed: number;
  readonly sequence: number;
  readonly vocabulary: number;
  /** Positions before it have no label. */
  readonly firstScored: number;
  /** Bends logits into +-limit. */
  readonly logitLimit: number | null;
}

export interface DrawnLabels {
  /** A token a position; -1 where there is no label. */
  readonly labels: Int32Array;
  /** The first position whose logits are not finite, or null. */
  readonly notFinite: number | null;
}

/**
 * Replaces the logits of a sequence, [positions x vocabulary], by the gradient of the labels' summed log-probability: 1 at
 * the label, less the probabilities; 0 where there is no label.
 */
export function drawLabels(logits: Float32Array, draw: LabelDraw): DrawnLabels {
  const { vocabulary, firstScored } = draw;
  const positions = logits.length / vocabulary;
  const labels = new Int32Array(positions).fill(-1);
  const slopes = draw.logitLimit === null ? null : new Float32Array(vocabulary);
  logits.fill(0, 0, firstScored * vocabulary);
  for (let position = firstScored; position < positions; position++) {
    const row = logits.subarray(position * vocabulary, (position + 1) * vocabulary);
    const label = drawLabel(row, uniform(draw.seed, draw.sequence, position), draw.logitLimit, slopes);
    if (label === null) return { labels, notFinite: position };
    labels[position] = label;
  }
  return { labels, notFinite: null };
}

/** Null when the row is not finite. */
function drawLabel(
  row: Float32Array,
  at: number,
  limit: number | null,
  slopes: Float32Array | null,
): number | null {
  const slope = limit === null ? null : bend(row, limit, slopes);
  let most = -Infinity;
  for (let i = 0; i < row.length; i++) if (row[i] > most) most = row[i];
  let sum = 0;
  for (let i = 0; i < row.length; i++) {
    const share = Math.exp(row[i] - most);
    row[i] = share;
    sum += share;
  }
  if (!(sum > 0 && sum < Infinity)) return null;
  const label = labelAt(row, at * sum);
  for (let i = 0; i < row.length; i++) row[i] = -row[i] / sum;
  row[label] += 1;
  if (slope !== null) for (let i = 0; i < row.length; i++) row[i] *= slope[i];
  return label;
}

function labelAt(shares: Float32Array, target: number): number {
  let passed = 0;
  for (let i = 0; i < shares.length; i++) {
    passed += shares[i];
    if (passed > target) return i;
  }
  // Shares as stored sum up to a little less than before they were rounded: the last that is no zero.
  let last = shares.length - 1;
  while (last > 0 && shares[last] === 0) last--;
  return last;
}

/** Bends logits into +-limit, in place; fills `slopes` where they are asked for, and returns them. */
export function bend(logits: Float32Array, limit: number, slopes: Float32Array | null): Float32Array | null {
  for (let i = 0; i < logits.length; i++) {
    const bent = Math.tanh(logits[i] / limit);
    logits[i] = limit * bent;
    if (slopes !== null) slopes[i] = 1 - bent * bent;
  }
  return slopes;
}
