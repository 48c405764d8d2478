/** @file What the codes of a scheme depend on besides weights and importance: part of the key of everything measured with them. */
import { ENGINE_RELEASE } from '../engine/release.js';
import { AFFINE_VERSION, affineSpec } from '../plan/affine-schemes.js';

/** Parameters of a task that encodes in these schemes and runs or decodes in the engine. */
export function encoderVersion(schemes: readonly string[]): { engine: string; affine?: number } {
  const affine = schemes.some((scheme) => affineSpec(scheme) !== undefined);
  return affine ? { engine: ENGINE_RELEASE, affine: AFFINE_VERSION } : { engine: ENGINE_RELEASE };
}
