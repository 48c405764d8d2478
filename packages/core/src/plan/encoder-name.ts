/** @file The ways to choose codes, by their names: all give the same bytes a file, and files that lose more or less. */
import { BitsmithError } from '@bitsmith/formats';

/**
 * `nearest`: the engine's own codes. `feedback`: each weight takes over what the ones before it got wrong. `refit`: codes and scales
 * improved one by one. `learned`: both, and then moved by gradient where that is better, block by block, in the file that is
 * written. `auto`: feedback and refit, where a model's inputs can be measured.
 */
export const encoderMethods = ['auto', 'nearest', 'feedback', 'refit', 'feedback+refit', 'learned'] as const;
export type EncoderMethod = (typeof encoderMethods)[number];

/** @throws BitsmithError `ENCODER_UNKNOWN` */
export function refuseUnknownEncoder(method: string | undefined): void {
  if (method === undefined || encoderMethods.some((known) => known === method)) return;
  throw new BitsmithError(
    'arguments',
    'ENCODER_UNKNOWN',
    `expected ${encoderMethods.join(', ')} as --encoder, found '${method}'`,
  );
}
