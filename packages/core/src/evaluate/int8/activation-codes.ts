/**
 * @file Activations as whole numbers of 8 bits around zero: code = round(x / scale), at most 127 either way, halves to even. Scales
 * are found while the model runs, one a token or one for all tokens of a sequence, or fixed beforehand by the
 * largest value on a calibration text, beyond which everything is cut off.
 */
import { BitsmithError } from '@bitsmith/formats';

export const activationScaleKinds = ['token', 'tensor', 'static'] as const;
/** What shares a scale: a token's activations, a sequence's, or all that there will ever be. */
export type ActivationScales = (typeof activationScaleKinds)[number];

const LARGEST_CODE = 127;
/** Added and taken away, it leaves the nearest whole number: doubles have no places behind the point that high up. */
const ROUND = 1.5 * 2 ** 52;

/** @throws BitsmithError `ACTIVATION_SCALES_UNKNOWN` */
export function parseActivationScales(text: string): ActivationScales {
  const known = activationScaleKinds.find((kind) => kind === text);
  if (known !== undefined) return known;
  throw new BitsmithError(
    'arguments',
    'ACTIVATION_SCALES_UNKNOWN',
    `expected scales of activations by ${activationScaleKinds.join(', ')}, found ${text}`,
    { suggestion: 'token and tensor are found while the model runs, static is calibrated beforehand.' },
  );
}

/** A scale each token. */
export function tokenScales(values: Float32Array, width: number, scales: Float32Array): void {
  for (let token = 0; token < scales.length; token++)
    scales[token] = scaleOf(values.subarray(token * width, (token + 1) * width));
}

/** The scale that holds all of the values. */
export function scaleOf(values: Float32Array): number {
  let largest = 0;
  for (const value of values) if (Math.abs(value) > largest) largest = Math.abs(value);
  return Math.fround(largest / LARGEST_CODE);
}

/** Fills `codes` with whole numbers, token by token. */
export function encodeActivations(
  values: Float32Array,
  width: number,
  scales: Float32Array,
  codes: Float32Array,
): void {
  for (let token = 0; token < scales.length; token++) {
    const scale = scales[token];
    const end = (token + 1) * width;
    for (let at = token * width; at < end; at++) {
      const code = scale === 0 ? 0 : values[at] / scale + ROUND - ROUND;
      codes[at] = Math.max(-LARGEST_CODE, Math.min(LARGEST_CODE, code));
    }
  }
}
