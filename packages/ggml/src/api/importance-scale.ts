/**
 * @file Keeping the encoders' searches inside float32. A search compares products like (sum w x q)^2 (sum w q^2), which
 * overflow or vanish when importance or weights are far from 1: the result is then worse without notice, or the process
 * ends. Only ratios of importance matter to a search, and a power of two changes no bit of it; so importance is brought
 * near 1 by a power of two when it is far off, and is left as it is otherwise.
 */
import type { TensorType } from '@bitsmith/formats';

/** Types whose scales are searched. The others divide by the largest weight. */
const searched: ReadonlySet<TensorType> = new Set([
  'Q2_K',
  'Q3_K',
  'Q4_K',
  'Q5_K',
  'Q6_K',
  'IQ1_S',
  'IQ1_M',
  'IQ2_XXS',
  'IQ2_XS',
  'IQ2_S',
  'IQ3_XXS',
  'IQ3_S',
  'IQ4_NL',
  'IQ4_XS',
  'NVFP4',
  'Q4_0',
  'Q4_1',
  'Q5_0',
  'Q5_1',
]);

/** Largest weight that the searches take: far above any trained weight, far below where squares of squares overflow. */
export const largestSearchedWeight = 2 ** 24;

/** importance x weight^2 within these is far from both ends of float32, after all that the searches multiply. */
const smallest = 2 ** -46;
const largest = 2 ** 27;

export function isSearched(type: TensorType): boolean {
  return searched.has(type);
}

/** The largest magnitude. NaN is passed over: values are checked for it elsewhere. */
export function largestMagnitude(values: Float32Array): number {
  let largestEven = 0;
  let largestOdd = 0;
  const pairs = values.length - (values.length % 2);
  for (let i = 0; i < pairs; i += 2) {
    const even = Math.abs(values[i]);
    const odd = Math.abs(values[i + 1]);
    if (even > largestEven) largestEven = even;
    if (odd > largestOdd) largestOdd = odd;
  }
  const last = pairs < values.length ? Math.abs(values[pairs]) : 0;
  return Math.max(largestEven, largestOdd, last);
}

/** What a search may take without scaling. */
export interface ImportanceLimits {
  /** The largest importance; null where scales are not searched, so that only finite weights are asked for. */
  readonly largestImportance: number | null;
}

/** Limits of a search with these importance weights. */
export function importanceLimits(type: TensorType, importance: Float32Array | undefined): ImportanceLimits {
  const largestImportance =
    importance === undefined || !isSearched(type) ? null : largestMagnitude(importance);
  return { largestImportance };
}

/** Whether weights of magnitude up to `weight` may be encoded with their importance as it is. */
export function isSuited(weight: number, { largestImportance }: ImportanceLimits): boolean {
  if (!(weight < Infinity)) return false;
  return largestImportance === null || (weight <= largestSearchedWeight && suits(weight, largestImportance));
}

function suits(weight: number, largestImportance: number): boolean {
  const product = largestImportance * weight * weight;
  return weight === 0 || (product >= smallest && product <= largest);
}

/** Importance scaled to suit weights of magnitude up to `weight`; the array itself when it suits as it is. */
export class ImportanceScaler {
  private readonly importance: Float32Array;
  private readonly largest: number;
  private readonly scaled = new Map<number, Float32Array>();

  constructor(importance: Float32Array) {
    this.importance = importance;
    this.largest = largestMagnitude(importance);
  }

  for(weight: number): Float32Array {
    if (suits(weight, this.largest)) return this.importance;
    const towardsOne = -Math.round(Math.log2(this.largest) + 2 * Math.log2(weight));
    const exponent = Math.min(towardsOne, 60 - Math.ceil(Math.log2(this.largest)));
    let scaled = this.scaled.get(exponent);
    if (scaled === undefined) {
      const factor = 2 ** exponent;
      scaled = this.importance.map((value) => value * factor);
      this.scaled.set(exponent, scaled);
    }
    return scaled;
  }
}
