/** @file What the codes of a scheme depend on besides weights and importance: part of the key of everything measured with them. */
import { isTernary, TERNARY_VERSION } from '../encode/ternary.js';
import { ENGINE_RELEASE } from '../engine/release.js';
import { AFFINE_VERSION, affineSpec } from '../plan/affine-schemes.js';

/** Versions of what encodes; the engine's own encoders come with its release. */
export interface EncoderVersion {
  readonly engine: string;
  readonly affine?: number;
  readonly ternary?: number;
}

/** Parameters of a task that encodes in these schemes and runs or decodes in the engine. */
export function encoderVersion(schemes: readonly string[]): EncoderVersion {
  return {
    engine: ENGINE_RELEASE,
    ...(schemes.some((scheme) => affineSpec(scheme) !== undefined) ? { affine: AFFINE_VERSION } : {}),
    ...(schemes.some(isTernary) ? { ternary: TERNARY_VERSION } : {}),
  };
}
